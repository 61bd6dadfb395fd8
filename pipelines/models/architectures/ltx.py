"""LTX-Video: rectified flow on tokens that were packed, a decoder that takes a last noise level."""

import torch
from diffusers.pipelines.ltx.pipeline_ltx import calculate_shift
from jaxtyping import Float
from torch import Tensor

from pipelines.models.architectures.base import Architecture, ClipShape, Texts
from pipelines.models.architectures.shifts import dynamic_sigmas

MAX_TOKENS = 256
DECODE_SIGMA = 0.05
"""Noise that autoencoders with a noise level are told of, and given, as their authors advise."""
FPS = 24.0


class Ltx(Architecture):
    """LTX-Video's text-to-video pipeline."""

    pipeline_name = "LTXPipeline"
    parts = ("text_encoder", "transformer", "vae")

    @property
    def space_stride(self) -> int:
        return int(self.pipeline.vae_spatial_compression_ratio)

    @property
    def time_stride(self) -> int:
        return int(self.pipeline.vae_temporal_compression_ratio)

    def sigmas(self, num_steps: int, clip: ClipShape, start: float) -> Float[Tensor, " level"]:
        time, rows, columns = self.latent_size(clip)
        config = self.pipeline.scheduler.config
        if not config.use_dynamic_shifting:
            return super().sigmas(num_steps, clip, start)
        shift = calculate_shift(
            time * rows * columns,
            config.get("base_image_seq_len", 256),
            config.get("max_image_seq_len", 4096),
            config.get("base_shift", 0.5),
            config.get("max_shift", 1.15),
        )
        return dynamic_sigmas(num_steps, shift, config.get("shift_terminal"), start)

    def _encode_text(self, prompt: str) -> Texts:
        embeds, mask, _, _ = self.pipeline.encode_prompt(
            prompt,
            do_classifier_free_guidance=False,
            max_sequence_length=MAX_TOKENS,
            device=self.device,
        )
        embeds = embeds.to(self._network_dtype())
        return {"encoder_hidden_states": embeds, "encoder_attention_mask": mask}

    def velocity(
        self,
        x: Float[Tensor, "1 *state"],
        sigma: float,
        text: Texts,
        clip: ClipShape,
        prepared: dict[str, Tensor],
    ) -> Float[Tensor, "1 *state"]:
        time, rows, columns = self.latent_size(clip)
        patch = self.pipeline.transformer_spatial_patch_size
        patch_time = self.pipeline.transformer_temporal_patch_size
        tokens = self.pipeline._pack_latents(x, patch, patch_time)
        out = self.transformer(
            hidden_states=tokens.to(self._network_dtype()),
            timestep=torch.full((1,), 1000 * sigma, device=x.device),
            num_frames=time,
            height=rows,
            width=columns,
            rope_interpolation_scale=(
                self.time_stride / FPS,
                self.space_stride,
                self.space_stride,
            ),
            return_dict=False,
            **text,
        )[0].float()
        return self.pipeline._unpack_latents(out, time, rows, columns, patch, patch_time)

    def normalise(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "1 channel time rows columns"]:
        vae = self.vae
        return self.pipeline._normalize_latents(
            latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor
        )

    def denormalise(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "1 channel time rows columns"]:
        vae = self.vae
        return self.pipeline._denormalize_latents(
            latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor
        )

    def _decode(self, latents: Tensor) -> Tensor:
        if not self.vae.config.timestep_conditioning:
            return self.vae.decode(latents, None, return_dict=False)[0]
        # A fixed seed, so that decoding is a function of the latents alone.
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        latents = (1 - DECODE_SIGMA) * latents + DECODE_SIGMA * noise
        level = torch.full((1,), DECODE_SIGMA, device=latents.device, dtype=latents.dtype)
        return self.vae.decode(latents, level, return_dict=False)[0]
