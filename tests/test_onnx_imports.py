"""Any network that draws, as ONNX: checked, tried apart, then run like the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from genlab.engine.graph import exported
from genlab.families.gan.request import GANRequest
from genlab.formats import onnx_files
from genlab.formats.fingerprints import sha256_of
from genlab.formats.recognise.guesses import Corrections
from genlab.models.families import FAMILIES
from genlab.models.imports.convert import convert
from genlab.requests import UserError, parse_request
from tests.drive import drive, metadata_of, opened
from tests.test_imports import close, own_pictures
from tests.tutorial_networks import (
    TUTORIALS,
    CourseraGAN,
    FlatGAN,
    OneHotGAN,
    PyTorchDCGAN,
    vivid,
)


class Residual(nn.Module):
    """What no state dict tells the wiring of."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 784)
        self.skip = nn.Linear(784, 784)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(z))
        return torch.sigmoid(x + self.skip(x)).view(-1, 1, 28, 28)


def graph_of(module: nn.Module, *rows: torch.Tensor, path: Path) -> Path:
    names = ("z", "labels")[: len(rows)]
    path.write_bytes(exported(module.eval(), rows, names))
    return path


def drawn(folder: Path, family: str = "gan", **values: Any) -> np.ndarray:
    kind = FAMILIES[family].sample_request
    assert kind is not None
    request = parse_request(kind, checkpoint="mine", seed=3, count=5, **values)
    (result,) = drive(opened(FAMILIES[family], folder), request)
    assert dict(result.extras).keys() <= {"z"}
    return result.images


@pytest.mark.parametrize("name", ["flat-gan", "coursera-gan", "pytorch-dcgan-32"])
def test_a_graph_draws_what_its_module_draws(name: str, tmp_path: Path) -> None:
    about = TUTORIALS[name]
    module = vivid(about.make())
    source = graph_of(module, torch.randn(2, about.latent_dim), path=tmp_path / "mine.onnx")
    made = convert(source, tmp_path / "mine", "Mine")
    assert made.layout.startswith("an ONNX graph")
    facts = metadata_of(FAMILIES["gan"], tmp_path / "mine")
    assert tuple(facts.facts["image"]) == about.image
    assert facts.parameters > 1000
    assert close(drawn(tmp_path / "mine"), own_pictures(module, about))
    assert len(sha256_of(tmp_path / "mine")) == 64


def test_a_network_that_no_state_dict_tells_goes_in_as_a_vae_too(tmp_path: Path) -> None:
    module = vivid(Residual())
    torch.save(module.state_dict(), tmp_path / "mine.pth")
    with pytest.raises(UserError, match=r"layers beside the main path \(skip.*as ONNX"):
        convert(tmp_path / "mine.pth", tmp_path / "mine", "Mine")
    source = graph_of(module, torch.randn(2, 12), path=tmp_path / "mine.onnx")
    made = convert(source, tmp_path / "mine", "Mine", corrections=Corrections(family="vae"))
    assert made.family == "vae"
    about = TUTORIALS["coursera-gan"].__class__(Residual, "gan", 12, (1, 28, 28), True)
    assert close(drawn(tmp_path / "mine", "vae", temperature=1.0), own_pictures(module, about))


def test_a_graph_that_is_told_classes_draws_them(tmp_path: Path) -> None:
    module = vivid(OneHotGAN())
    rows = (torch.randn(2, 100), torch.tensor([0, 1]))
    source = graph_of(module, *rows, path=tmp_path / "mine.onnx")
    convert(source, tmp_path / "mine", "Mine")
    about = TUTORIALS["one-hot-gan"]
    assert close(drawn(tmp_path / "mine"), own_pictures(module, about))
    assert close(drawn(tmp_path / "mine", label=4), own_pictures(module, about, 4))


def test_a_graph_for_one_picture_at_a_time_and_of_another_range(tmp_path: Path) -> None:
    module: Any = vivid(FlatGAN())
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 100, 1, 1])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    weights = {
        "w": (np.random.default_rng(0).normal(size=(100, 28 * 28)) * 0.4).astype(np.float32),
        "flat": np.array([1, 100], np.int64), "plane": np.array([1, 28, 28, 1], np.int64),
        "scale": np.array(255.0, np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Reshape", ["z", "flat"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("Sigmoid", ["b"], ["c"]),
        helper.make_node("Mul", ["c", "scale"], ["d"]),
        helper.make_node("Reshape", ["d", "plane"], ["out"]),
    ]
    save(tmp_path / "mine.onnx", nodes, [z], [out], weights)
    made = convert(tmp_path / "mine.onnx", tmp_path / "mine", "Mine")
    assert any("from 0 to 255" in note for note in made.notes)
    about = TUTORIALS["flat-gan"]
    from genlab.engine.runner import generators, noise_rows

    request = GANRequest(checkpoint="mine", seed=3, count=5)
    rows = noise_rows(generators(request), (about.latent_dim,)).numpy()
    wanted = 255 / (1 + np.exp(-rows @ weights["w"]))
    assert np.abs(drawn(tmp_path / "mine").reshape(5, -1) - wanted).max() <= 1
    assert module is not None


def save(path: Path, nodes: Any, inputs: Any, outputs: Any, weights: dict[str, Any]) -> Path:
    graph = helper.make_graph(
        nodes, "g", inputs, outputs,
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)],
        ir_version=9,
    )
    path.write_bytes(model.SerializeToString())
    return path


def sound(path: Path) -> onnx.ModelProto:
    """A small sound graph, read back to be spoilt."""
    graph_of(vivid(CourseraGAN()), torch.randn(2, 10), path=path)
    return onnx.load(path)


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def custom(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.example"
    model.opset_import.add().domain = "com.example"


def loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["x"], body=body))


def hidden_loop(model: onnx.ModelProto) -> None:
    """A custom operator inside the graph of another node."""
    body = helper.make_graph([helper.make_node("Evil", [], ["y"], domain="evil")], "body", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", body))


def random_numbers(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("RandomNormal", [], ["x"], shape=[1]))


def with_nan(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def another_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1, 2]))


def own_function(model: onnx.ModelProto) -> None:
    model.functions.append(
        helper.make_function("mine", "Trick", ["a"], ["b"], [], [helper.make_opsetid("", 17)])
    )


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (external, r"lie in another file; export it as one"),
        (custom, r"needs the operator \w+ of com\.example, which is not ONNX's own"),
        (hidden_loop, r"needs the operator Evil of evil"),
        (loop, r"has a Loop inside, which may run for ever"),
        (random_numbers, r"draws its own random numbers \(RandomNormal\)"),
        (with_nan, r"are NaN or infinite"),
        (another_input, r"takes z, more; one float input z"),
        (own_function, r"brings functions of its own \(Trick\)"),
    ],
)
def test_a_graph_that_may_not_be_run_is_refused(spoil: Any, sentence: str, tmp_path: Path) -> None:
    model = sound(tmp_path / "sound.onnx")
    spoil(model)
    (tmp_path / "mine.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match=sentence):
        convert(tmp_path / "mine.onnx", tmp_path / "mine", "Mine")
    assert not (tmp_path / "mine").exists()


class BatchMean(nn.Module):
    """A picture that depends on those that are drawn with it."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(12, 784)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = self.last(z)
        return torch.sigmoid(x - 3 * x.mean(dim=0, keepdim=True)).view(-1, 1, 28, 28)


class FixedRows(nn.Module):
    """Which can draw 64 pictures and no other number of them."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(12, 784)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.last(z)).view(64, 1, 28, 28)


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (BatchMean(), r"another picture when it is drawn with others"),
        (FixedRows(), r"ONNX Runtime cannot run it|for 1 rows of z it gives"),
    ],
)
def test_a_picture_does_not_depend_on_who_is_drawn_with_it(
    module: nn.Module, sentence: str, tmp_path: Path
) -> None:
    rows = torch.randn(64, 12)
    source = graph_of(vivid(module), rows, path=tmp_path / "mine.onnx")
    with pytest.raises(UserError, match=sentence):
        convert(source, tmp_path / "mine", "Mine")


def test_a_graph_whose_memory_knows_no_end_ends_only_the_process_that_tries_it(
    tmp_path: Path,
) -> None:
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 4])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("ConstantOfShape", ["huge"], ["a"]),
        helper.make_node("ReduceSum", ["a"], ["b"], keepdims=0),
        helper.make_node("Add", ["z", "b"], ["out"]),
    ]
    weights = {"huge": np.array([400_000, 400_000], np.int64)}
    save(tmp_path / "mine.onnx", nodes, [z], [out], weights)
    with pytest.raises(UserError, match=r"ONNX Runtime cannot run it|more memory than it may"):
        convert(tmp_path / "mine.onnx", tmp_path / "mine", "Mine")


def test_a_graph_that_takes_too_long_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound(tmp_path / "mine.onnx")
    monkeypatch.setattr(onnx_files, "SECONDS", 0.01)
    with pytest.raises(UserError, match="takes more than 0 s to draw"):
        convert(tmp_path / "mine.onnx", tmp_path / "mine", "Mine")


def test_a_graph_at_which_others_would_wait_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound(tmp_path / "mine.onnx")
    monkeypatch.setattr(onnx_files, "SLOWEST", 0.0)
    with pytest.raises(UserError, match="a picture, but may take 0.0: nobody else should wait"):
        convert(tmp_path / "mine.onnx", tmp_path / "mine", "Mine")


def test_what_draws_no_picture_is_told_what_would_fit(tmp_path: Path) -> None:
    source = graph_of(nn.Linear(4, 5), torch.randn(2, 4), path=tmp_path / "mine.onnx")
    with pytest.raises(UserError, match=r"has shape \[5\]; a picture \(C, H, W\)"):
        convert(source, tmp_path / "mine", "Mine")
    source.write_bytes(b"\x08\x01 nothing")
    with pytest.raises(UserError, match="no ONNX file"):
        convert(source, tmp_path / "mine", "Mine")


def test_a_changed_graph_in_a_folder_is_damaged_not_run(tmp_path: Path) -> None:
    source = graph_of(vivid(PyTorchDCGAN(3, 4)), torch.randn(2, 100), path=tmp_path / "a.onnx")
    convert(source, tmp_path / "mine", "Mine")
    graph_of(vivid(CourseraGAN()), torch.randn(2, 10), path=tmp_path / "mine" / "model.onnx")
    from genlab.models.registry import Registry

    registry = Registry(tmp_path)
    assert registry.broken["mine"] == "its model.onnx takes other inputs than its config.json says."
