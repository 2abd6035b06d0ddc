"""The page's texts in other languages: every entry fits its English text, and none is left out."""

from __future__ import annotations

import re

import pytest

from genlab.ui.languages import ENGLISH, language_names, language_script, texts
from genlab.ui.languages.pairs import entries, markdown_entries
from genlab.ui.tabs.guide.words import guide_words, translations

OTHERS = [language for language in language_names() if language not in ENGLISH]


def test_there_is_simplified_chinese():
    assert language_names() == {"en": "English", "zh-CN": "简体中文"}
    assert "简体中文" in language_script()


@pytest.mark.parametrize("language", OTHERS)
def test_an_entry_has_the_places_and_elements_of_its_english_text(language: str):
    found = translations(language) | texts(language)
    assert len(found) > 400
    for english, own in found.items():
        for part in (r"\{\w+\}", r"<\d+"):
            assert set(re.findall(part, english)) >= set(re.findall(part, own)), english
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", own)), english
        assert own.strip()
        assert "{}" not in english


@pytest.mark.parametrize("language", OTHERS)
def test_a_guide_in_another_language_says_all_that_the_english_one_says(language: str):
    english, own = guide_words(), guide_words(language)
    assert own.page.keys() == english.page.keys()
    assert own.steps.keys() == english.steps.keys()
    for key, step in english.steps.items():
        other = own.steps[key]
        assert [latex for latex, _ in other.symbols] == [latex for latex, _ in step.symbols]
        assert len(other.choices) == len(step.choices)


def test_markup_becomes_the_elements_of_a_page():
    assert list(entries("Call `step` with *z*.", "用 *z* 调用 `step`。")) == [
        ("Call <1/> with <2>z</2>.", "用 <2>z</2> 调用 <1/>。")
    ]
    assert list(entries("**$D$ punishes.** Now", "**$D$ 惩罚。** 现在")) == [
        ("<1/> Now", "<1/> 现在"),
        ("<1/> punishes.", "<1/> 惩罚。"),
    ]
    assert list(entries("It has [[a fid]].", "它有 [[a fid]]。")) == [
        ("It has {figure0}.", "它有 {figure0}。")
    ]


def test_formulas_that_stand_alone_need_no_translation():
    english = "One.\n\n$$x^2$$\n\nTwo.\n\n| a | $s$ |\n|---|---|\n| b | 1 |\n\n- c\n- d"
    own = "一。\n\n二。\n\n| 甲 | $s$ |\n|---|---|\n| 乙 | 1 |\n\n- 丙\n- 丁"
    assert dict(markdown_entries(english, own)) == {
        "One.": "一。", "Two.": "二。", "a": "甲", "b": "乙", "c": "丙", "d": "丁",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("english", "own"), [("Call `step`.", "调用 `stop`。"), ("No figure.", "[[a fid]]")]
)
def test_a_translation_with_other_code_or_figures_is_refused(english: str, own: str):
    with pytest.raises(ValueError, match="English|lacks"):
        list(entries(english, own))


def test_a_translation_that_lost_a_paragraph_is_refused():
    with pytest.raises(ValueError, match="1 parts instead of 2"):
        list(markdown_entries("One.\n\nTwo.", "一。"))
