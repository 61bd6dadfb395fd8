"""From an orbit video to a textured mesh; knows no diffusion model, no page and no job."""
