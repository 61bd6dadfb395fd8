"""The large open models, as data. Loads neither torch nor diffusers.

Revisions: each card names the branch that its authors maintain, and a run records the commit that
was found on disk, so that any result can be made again with `--revision COMMIT`.

Numbers: repositories, licences, sizes, frame counts and steps are from the authors' model cards;
parameters from the published configurations, rounded. `download_gb` and `working_gb` are estimates;
see docs/models.md for what was measured and what was not.
"""

from pipelines.errors import RequestError
from pipelines.models.large_card import Canvas, HelperCard, LargeModelCard, Licence, Part
from threed.segmenter_weights import NAME, REPOSITORY

APACHE = Licence(name="Apache-2.0", commercial="yes", forbids="")
T5_XXL = Part(name="text_encoder", parameters=4.76e9)
UMT5_XXL = Part(name="text_encoder", parameters=5.68e9)
LTX2_VAE = Part(name="vae", parameters=1.22e9)

LARGE_MODELS: tuple[LargeModelCard, ...] = (
    LargeModelCard(
        name="wan2.1-t2v-1.3b",
        title="Wan 2.1 T2V 1.3B",
        architecture="wan",
        repository="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        revision="main",
        licence_terms=APACHE,
        description=(
            "The smallest of the good ones: words to a clip of 81 frames. Knows no cameras, so "
            "they are found afterwards."
        ),
        parts=(
            UMT5_XXL,
            Part(name="transformer", parameters=1.42e9),
            Part(name="vae", parameters=0.13e9),
        ),
        download_gb=29.0,
        working_gb=4.0,
        canvases=(Canvas(width=480, height=480), Canvas(width=624, height=624)),
        turn_frames=81,
        frame_step=4,
        most_frames=81,
        fps=16,
        num_steps=50,
        guidance_scale=5.0,
        style="cinematic",
    ),
    LargeModelCard(
        name="wan2.2-ti2v-5b",
        title="Wan 2.2 TI2V 5B",
        architecture="wan",
        repository="Wan-AI/Wan2.2-TI2V-5B-Diffusers",
        revision="main",
        licence_terms=APACHE,
        description=(
            "Words to a clip of 121 frames at 704 pixels, through an autoencoder that is 16 times "
            "smaller each way. Knows no cameras, so they are found afterwards."
        ),
        parts=(
            UMT5_XXL,
            Part(name="transformer", parameters=5.0e9),
            Part(name="vae", parameters=0.7e9),
        ),
        download_gb=34.0,
        working_gb=6.0,
        canvases=(Canvas(width=704, height=704), Canvas(width=480, height=480)),
        turn_frames=81,
        frame_step=4,
        most_frames=121,
        fps=24,
        num_steps=50,
        guidance_scale=5.0,
        style="cinematic",
        remarks="Its way of starting from a picture is not used.",
    ),
    LargeModelCard(
        name="ltx-video-2b",
        title="LTX-Video 2B 0.9.5",
        architecture="ltx",
        repository="Lightricks/LTX-Video-0.9.5",
        revision="main",
        licence_terms=Licence(
            name="LTX-Video OpenRAIL-M",
            commercial="yes",
            forbids="the uses that its attachment A lists are forbidden, to everybody downstream",
        ),
        description=(
            "The fastest: 32 times smaller latents each way. Knows no cameras, so they are found "
            "afterwards."
        ),
        parts=(
            T5_XXL,
            Part(name="transformer", parameters=1.92e9),
            Part(name="vae", parameters=0.6e9),
        ),
        download_gb=26.0,
        working_gb=3.0,
        canvases=(Canvas(width=512, height=512), Canvas(width=704, height=704)),
        turn_frames=97,
        frame_step=8,
        most_frames=161,
        fps=24,
        num_steps=40,
        guidance_scale=3.0,
        style="prose",
        remarks="Its pictures and clips as conditions are not used.",
    ),
    LargeModelCard(
        name="ltx-2",
        title="LTX-2 19B",
        architecture="ltx2",
        repository="Lightricks/LTX-2",
        revision="main",
        licence_terms=Licence(
            name="LTX-2 Community License",
            commercial="below a threshold",
            forbids=(
                "those who earn 10 million dollars a year or more need a paid licence, and its "
                "list of forbidden uses binds everybody downstream"
            ),
        ),
        description=(
            "Draws picture and sound together; the sound is thrown away. Knows no cameras, so they "
            "are found afterwards."
        ),
        parts=(
            Part(name="text_encoder", parameters=12.2e9),
            Part(name="connectors", parameters=1.4e9),
            Part(name="transformer", parameters=18.9e9),
            LTX2_VAE,
        ),
        download_gb=70.0,
        working_gb=8.0,
        canvases=(Canvas(width=512, height=512), Canvas(width=704, height=704)),
        turn_frames=97,
        frame_step=8,
        most_frames=121,
        fps=24,
        num_steps=40,
        guidance_scale=4.0,
        style="prose",
        remarks="Its second stage, its upsamplers and its guidance across modalities are not used.",
    ),
    LargeModelCard(
        name="cogvideox-2b",
        title="CogVideoX 2B",
        architecture="cogvideox",
        repository="zai-org/CogVideoX-2b",
        revision="main",
        licence_terms=APACHE,
        description=(
            "An older, small model that predicts v. It draws 720 x 480 and nothing else, of which "
            "the middle is kept. Knows no cameras, so they are found afterwards."
        ),
        parts=(
            T5_XXL,
            Part(name="transformer", parameters=1.69e9),
            Part(name="vae", parameters=0.22e9),
        ),
        download_gb=14.0,
        working_gb=5.0,
        canvases=(Canvas(width=720, height=480),),
        turn_frames=49,
        frame_step=8,
        most_frames=49,
        fps=8,
        num_steps=50,
        guidance_scale=6.0,
        style="prose",
    ),
    LargeModelCard(
        name="cogvideox1.5-5b",
        title="CogVideoX 1.5 5B",
        architecture="cogvideox",
        repository="zai-org/CogVideoX1.5-5B",
        revision="main",
        licence_terms=Licence(
            name="CogVideoX License",
            commercial="by permission",
            forbids=(
                "free for research; commercial use needs a registration with its authors and has a "
                "limit of visits"
            ),
        ),
        description=("Predicts v at 768 pixels. Knows no cameras, so they are found afterwards."),
        parts=(
            T5_XXL,
            Part(name="transformer", parameters=5.57e9),
            Part(name="vae", parameters=0.22e9),
        ),
        download_gb=21.0,
        working_gb=9.0,
        canvases=(Canvas(width=768, height=768),),
        turn_frames=81,
        frame_step=16,
        most_frames=81,
        fps=16,
        num_steps=50,
        guidance_scale=6.0,
        style="prose",
    ),
    LargeModelCard(
        name="hunyuanvideo-1.5",
        title="HunyuanVideo 1.5, 480p",
        architecture="hunyuan15",
        repository="hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v",
        revision="main",
        licence_terms=Licence(
            name="Tencent Hunyuan Community License",
            commercial="below a threshold",
            forbids=(
                "it does not hold in the European Union, the United Kingdom and South Korea, "
                "services with more than 100 million users a month need a licence of their own, "
                "and what it makes may not train other models"
            ),
        ),
        description=(
            "Words to a clip of 121 frames; its prompts are read by a language model. Knows no "
            "cameras, so they are found afterwards."
        ),
        parts=(
            Part(name="text_encoder", parameters=7.07e9),
            Part(name="text_encoder_2", parameters=0.22e9),
            Part(name="transformer", parameters=8.33e9),
            Part(name="vae", parameters=1.3e9),
        ),
        download_gb=35.0,
        working_gb=6.0,
        canvases=(Canvas(width=640, height=640), Canvas(width=480, height=480)),
        turn_frames=81,
        frame_step=4,
        most_frames=121,
        fps=24,
        num_steps=50,
        guidance_scale=6.0,
        style="structured",
    ),
    LargeModelCard(
        name="sana-wm",
        title="SANA-WM 2.6B",
        architecture="sana_wm",
        repository="Efficient-Large-Model/SANA-WM_bidirectional-diffusers",
        revision="main",
        licence_terms=APACHE,
        description=(
            "A world model that is told the camera's path, so its orbits have known cameras. It "
            "starts from a picture, which an image model draws first."
        ),
        parts=(
            Part(name="text_encoder", parameters=2.61e9),
            Part(name="transformer", parameters=2.6e9),
            LTX2_VAE,
        ),
        download_gb=13.0,
        working_gb=8.0,
        canvases=(Canvas(width=1280, height=704),),
        turn_frames=121,
        frame_step=8,
        most_frames=321,
        fps=16,
        num_steps=60,
        guidance_scale=5.0,
        style="scene",
        image=True,
        cameras=True,
        num_tries=1,
        image_model="z-image-turbo",
        remarks="Its second stage, the LTX-2 refiner of 19B parameters, is not used.",
    ),
)

HELPERS: tuple[HelperCard, ...] = (
    HelperCard(
        name="z-image-turbo",
        title="Z-Image Turbo 6B",
        kind="image",
        repository="Tongyi-MAI/Z-Image-Turbo",
        revision="main",
        licence=APACHE,
        parts=(
            Part(name="text_encoder", parameters=4.02e9),
            Part(name="transformer", parameters=6.15e9),
            Part(name="vae", parameters=0.08e9),
        ),
        download_gb=33.0,
        num_steps=9,
        guidance_scale=0.0,
    ),
    HelperCard(
        name="qwen2.5-1.5b-instruct",
        title="Qwen 2.5 1.5B Instruct",
        kind="language",
        repository="Qwen/Qwen2.5-1.5B-Instruct",
        revision="main",
        licence=APACHE,
        parts=(Part(name="", parameters=1.54e9),),
        download_gb=3.1,
    ),
    HelperCard(
        name=NAME,
        title="SAM 2.1 Hiera Tiny, cuts objects out of clips and pictures",
        kind="matting",
        repository=REPOSITORY,
        revision="main",
        licence=APACHE,
        parts=(Part(name="", parameters=38.9e6),),
        download_gb=0.16,
    ),
)


def find_helper(name: str) -> HelperCard:
    """Return a helper by its name.

    Raises:
        RequestError: There is none of that name; lists those that there are.
    """
    for card in HELPERS:
        if card.name == name:
            return card
    known = ", ".join(card.name for card in HELPERS)
    raise RequestError(f"helper is {name!r}; the catalogue has {known}")
