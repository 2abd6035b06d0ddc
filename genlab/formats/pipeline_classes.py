"""What diffusers' pipelines need to draw, by class name, so that a scan imports no diffusers.

A frozen table: a test compares it with what inspecting the installed diffusers says.
"""

from __future__ import annotations


def _names(stems: str) -> frozenset[str]:
    """Class names; those that end in Pipeline are written without it."""
    return frozenset(s if "Pipeline" in s else f"{s}Pipeline" for s in stems.split())


DIFFUSERS = "0.42.1"
"""The version that the table was made from."""

BATCHED = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
"""The pipelines that the batched engine runs step by step."""

FROM_A_PROMPT = _names(
    """
    AltDiffusion AuraFlow BriaFibo2 BriaFibo Bria Chroma CogView3Plus CogView4
    Cosmos2TextToImage ErnieImage Flux2KleinKV Flux2Klein Flux2 FluxKontext Flux GlmImage
    HiDreamImage HunyuanDiTPAG HunyuanDiT HunyuanImage Ideogram4 Kandinsky3 Kandinsky5T2I
    KandinskyV22Combined Krea2 LatentConsistencyModel Lumina2 Lumina NucleusMoEImage OmniGen
    OvisImage PRX PRXPixel QwenImage21 QwenImage SanaPAG Sana SanaSprint StableCascadeCombined
    StableDiffusion3PAG StableDiffusion3 StableDiffusionLDM3D StableDiffusionPAG
    StableDiffusionPanorama StableDiffusion StableDiffusionXLPAG StableDiffusionXL
    WuerstchenCombined ZImageOmni ZImage
    """
)
"""They draw a picture from a prompt alone and can be followed step by step."""

NOT_FOLLOWED = _names(
    """
    Amused AudioLDM2 AudioLDM DreamLiteMobile DreamLite IF IFSuperResolution KandinskyCombined
    KandinskyPrior LDMTextToImage LongCatImageEdit LongCatImage MusicLDM OnnxStableDiffusion
    PixArtAlpha PixArtSigmaPAG PixArtSigma SemanticStableDiffusion ShapE StableAudio
    StableDiffusionAdapter StableDiffusionGLIGEN StableDiffusionGLIGENTextImage
    StableDiffusionLatentUpscale StableDiffusionModelEditing StableDiffusionOnnx
    StableDiffusionParadigms StableDiffusionPipelineSafe StableDiffusionPix2PixZero
    StableDiffusionSAG StableDiffusionUpscale StableDiffusionXLAdapter
    StableDiffusionXLInstructPix2Pix StableUnCLIPImg2Img StableUnCLIP TextToVideoZero
    TextToVideoZeroSDXL UniDiffuser VQDiffusion VersatileDiffusionTextToImage
    """
)
"""They need no more than a prompt, but their call cannot be stopped at the end of a step."""

OTHERS = _names(
    """
    AceStep Allegro AltDiffusionImg2Img AmusedImg2Img AmusedInpaint AnimateDiffControlNet
    AnimateDiffPAG AnimateDiff AnimateDiffSDXL AnimateDiffSparseControlNet
    AnimateDiffVideoToVideoControlNet AnimateDiffVideoToVideo AnyFlowFAR AnyFlow
    BlipDiffusionControlNet BlipDiffusion BriaFiboEdit ChromaImg2Img ChromaInpaint ChronoEdit
    CogVideoXFunControl CogVideoXImageToVideo CogVideoX CogVideoXVideoToVideo CogView4Control
    ConsistencyModel Cosmos2VideoToWorld Cosmos2_5_PredictBase Cosmos2_5_Transfer Cosmos3Omni
    CosmosTextToWorld CosmosVideoToWorld CycleDiffusion DDIM DDPM DanceDiffusion DiT
    DiffusionGemma DiffusionPipeline EasyAnimateControl EasyAnimateInpaint EasyAnimate
    Flux2KleinInpaint FluxControlImg2Img FluxControlInpaint FluxControlNetImg2Img
    FluxControlNetInpaint FluxControlNet FluxControl FluxFill FluxImg2Img FluxInpaint
    FluxKontextInpaint FluxPriorRedux Helios HeliosPyramid HunyuanDiTControlNet
    HunyuanImageRefiner HunyuanSkyreelsImageToVideo HunyuanVideo15ImageToVideo HunyuanVideo15
    HunyuanVideoFramepack HunyuanVideoImageToVideo HunyuanVideo I2VGenXL IFImg2Img
    IFImg2ImgSuperResolution IFInpainting IFInpaintingSuperResolution JoyImageEdit
    JoyImageEditPlus Kandinsky3Img2Img Kandinsky5I2I Kandinsky5I2V Kandinsky5T2V Kandinsky6SR
    Kandinsky6TI2VA KandinskyImg2ImgCombined KandinskyImg2Img KandinskyInpaintCombined
    KandinskyInpaint Kandinsky KandinskyV22ControlnetImg2Img KandinskyV22Controlnet
    KandinskyV22Img2ImgCombined KandinskyV22Img2Img KandinskyV22InpaintCombined
    KandinskyV22Inpaint KandinskyV22 KandinskyV22PriorEmb2Emb KandinskyV22Prior KarrasVe LDM
    LDMSuperResolution LEditsPPPipelineStableDiffusion LEditsPPPipelineStableDiffusionXL LLaDA2
    LTX2Condition LTX2DFR LTX2DFRTemporalRefine LTX2HDR LTX2ImageToVideo LTX2InContext
    LTX2LatentUpsample LTX2 LTX2VideoDiffusionDecode LTXCondition LTXI2VLongMultiPrompt
    LTXImageToVideo LTXLatentUpsample LTX LatentConsistencyModelImg2Img Latte LongCatAudioDiT
    LucyEdit MarigoldDepth MarigoldIntrinsics MarigoldNormals Mochi MotifVideoImage2Video
    MotifVideo OnnxStableDiffusionImg2Img OnnxStableDiffusionInpaint OnnxStableDiffusionUpscale
    PIA PNDM PaintByExample QwenImageControlNetInpaint QwenImageControlNet QwenImageEditInpaint
    QwenImageEdit QwenImageEditPlus QwenImageImg2Img QwenImageInpaint QwenImageLayered
    RFD4Proteina RePaint SanaControlNet SanaImageToVideo SanaSprintImg2Img SanaVideo SanaWM
    ScoreSdeVe ShapEImg2Img SkyReelsV2DiffusionForcingImageToVideo SkyReelsV2DiffusionForcing
    SkyReelsV2DiffusionForcingVideoToVideo SkyReelsV2ImageToVideo SkyReelsV2
    StableAudio3AudioToAudio StableAudio3Inpaint StableAudio3 StableCascadeDecoder
    StableCascadePrior StableDiffusion3ControlNetInpainting StableDiffusion3ControlNet
    StableDiffusion3Img2Img StableDiffusion3Inpaint StableDiffusion3PAGImg2Img
    StableDiffusionAttendAndExcite StableDiffusionControlNetImg2Img
    StableDiffusionControlNetInpaint StableDiffusionControlNetPAGInpaint
    StableDiffusionControlNetPAG StableDiffusionControlNet StableDiffusionControlNetXS
    StableDiffusionDepth2Img StableDiffusionDiffEdit StableDiffusionImageVariation
    StableDiffusionImg2Img StableDiffusionInpaint StableDiffusionInpaintPipelineLegacy
    StableDiffusionInstructPix2Pix StableDiffusionPAGImg2Img StableDiffusionPAGInpaint
    StableDiffusionXLControlNetImg2Img StableDiffusionXLControlNetInpaint
    StableDiffusionXLControlNetPAGImg2Img StableDiffusionXLControlNetPAG
    StableDiffusionXLControlNet StableDiffusionXLControlNetUnionImg2Img
    StableDiffusionXLControlNetUnionInpaint StableDiffusionXLControlNetUnion
    StableDiffusionXLControlNetXS StableDiffusionXLImg2Img StableDiffusionXLInpaint
    StableDiffusionXLPAGImg2Img StableDiffusionXLPAGInpaint StableVideoDiffusion TextToVideoSD
    UnCLIPImageVariation UnCLIP VersatileDiffusionDualGuided VersatileDiffusionImageVariation
    VersatileDiffusion VideoToVideoSD VisualClozeGeneration VisualCloze WanAnimate
    WanImageToVideo Wan WanVACE WanVideoToVideo WuerstchenDecoder WuerstchenPrior
    ZImageControlNetInpaint ZImageControlNet ZImageImg2Img ZImageInpaint
    """
)
"""They need more than a prompt, or make something else: a film, a sound, an embedding."""
