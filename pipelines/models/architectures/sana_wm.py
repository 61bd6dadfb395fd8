"""SANA-WM: rectified flow from a first picture along a camera path. Its refiner is not used."""

import numpy as np
import torch
from diffusers.pipelines.sana_wm.pipeline_sana_wm import DEFAULT_CHI_PROMPT
from jaxtyping import Float
from torch import Tensor

from pipelines.models.architectures.base import (
    Architecture,
    ClipShape,
    Control,
    Texts,
    channelwise,
)
from threed.cameras import Cameras

MAX_TOKENS = 300


class SanaWM(Architecture):
    """SANA-WM's first stage; the picture's latents stay clean throughout."""

    pipeline_name = "SanaWMPipeline"
    parts = ("text_encoder", "transformer", "vae")

    @property
    def space_stride(self) -> int:
        return int(self.pipeline.vae_spatial_compression_ratio)

    @property
    def time_stride(self) -> int:
        return int(self.pipeline.vae_temporal_compression_ratio)

    def _encode_text(self, prompt: str) -> Texts:
        embeds, mask, _, _ = self.pipeline.encode_prompt(
            prompt,
            device=self.device,
            max_sequence_length=MAX_TOKENS,
            chi_prompt=DEFAULT_CHI_PROMPT,
        )
        return {"encoder_hidden_states": embeds.to(self._network_dtype()), "mask": mask}

    def _encode_negative(self, prompt: str) -> Texts:
        # What shall not be there is encoded without the instruction that the wish comes with.
        embeds, mask, _, _ = self.pipeline.encode_prompt(
            prompt, device=self.device, max_sequence_length=MAX_TOKENS
        )
        return {"encoder_hidden_states": embeds.to(self._network_dtype()), "mask": mask}

    def prepare(self, clip: ClipShape, control: Control | None) -> dict[str, Tensor]:
        if control is None:
            raise ValueError("SANA-WM needs a first picture and a camera path")
        path, intrinsics = opencv_path(control.cameras)
        prepared = self.pipeline._build_camera_kwargs(
            path,
            intrinsics,
            (clip.height, clip.width),
            device=self.device,
            dtype=self._network_dtype(),
            do_cfg=False,
        )
        return {**prepared, "first": self.encode(control.picture)}

    def hold(
        self, x: Float[Tensor, "1 *state"], prepared: dict[str, Tensor]
    ) -> Float[Tensor, "1 *state"]:
        return torch.cat([prepared["first"].to(x), x[:, :, 1:]], dim=2)

    def velocity(
        self,
        x: Float[Tensor, "1 *state"],
        sigma: float,
        text: Texts,
        clip: ClipShape,
        prepared: dict[str, Tensor],
    ) -> Float[Tensor, "1 *state"]:
        time = x.shape[2]
        level = torch.full((1, 1, time), 1000 * sigma, device=x.device)
        level[..., 0] = 0.0
        size = torch.tensor([[clip.height, clip.width]], dtype=torch.float, device=x.device)
        out = self.transformer(
            x.to(self._network_dtype()),
            level,
            text["encoder_hidden_states"],
            mask=text["mask"],
            data_info={"img_hw": size},
            camera_conditions=prepared["camera_conditions"],
            chunk_plucker=prepared["chunk_plucker"],
            return_dict=False,
        )[0].float()
        return torch.cat([torch.zeros_like(out[:, :, :1]), out[:, :, 1:]], dim=2)

    def normalise(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "1 channel time rows columns"]:
        mean, std = (
            channelwise(values, latents) for values in (self.vae.latents_mean, self.vae.latents_std)
        )
        return (latents - mean) * self.vae.config.scaling_factor / std

    def denormalise(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "1 channel time rows columns"]:
        mean, std = (
            channelwise(values, latents) for values in (self.vae.latents_mean, self.vae.latents_std)
        )
        return latents * std / self.vae.config.scaling_factor + mean

    def _decode(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents, None, return_dict=False)[0]


def opencv_path(cameras: Cameras) -> tuple[np.ndarray, np.ndarray]:
    """Return camera-to-world poses in OpenCV's axes and [fx, fy, cx, cy] of each, float32.

    OpenCV's camera looks along +z with y down, so two of the camera's axes turn round.
    """
    turn = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    path = cameras.c2w.cpu().float() @ turn
    focal = cameras.focal.cpu().float()
    centre = torch.tensor([0.5 * cameras.width, 0.5 * cameras.height]).expand(len(cameras), 2)
    intrinsics = torch.cat([focal[:, None], focal[:, None], centre], dim=1)
    return path.numpy(), intrinsics.numpy()
