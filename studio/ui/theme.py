"""The studio's theme: Gradio's variables, set from the page's own tokens (`static/tokens.css`), light and dark at once.

The tokens change with the theme, so each of Gradio's variables needs only one value. Fonts are those that Gradio serves
itself; nothing is asked of another host.
"""

import inspect

import gradio as gr

VARIABLES = {
    "body_background_fill": "var(--ground)",
    "body_text_color": "var(--ink)",
    "body_text_color_subdued": "var(--ink-2)",
    "body_text_size": "14px",
    "background_fill_primary": "var(--panel)",
    "background_fill_secondary": "var(--ground)",
    "border_color_primary": "var(--line)",
    "border_color_accent": "var(--accent)",
    "color_accent": "var(--accent)",
    "color_accent_soft": "var(--accent-soft)",
    "link_text_color": "var(--accent-ink)",
    "link_text_color_hover": "var(--accent-ink)",
    "link_text_color_active": "var(--accent-ink)",
    "link_text_color_visited": "var(--accent-ink)",
    "block_background_fill": "transparent",
    "block_border_color": "transparent",
    "block_border_width": "0px",
    "block_info_text_color": "var(--ink-2)",
    "block_label_text_color": "var(--ink)",
    "block_label_background_fill": "transparent",
    "block_padding": "0px",
    "block_radius": "0px",
    "block_shadow": "none",
    "block_title_text_color": "var(--ink-2)",
    "block_title_text_size": "13px",
    "block_title_text_weight": "400",
    "block_title_background_fill": "transparent",
    "block_title_padding": "0px",
    "container_radius": "0px",
    "form_gap_width": "0px",
    "layout_gap": "12px",
    "panel_background_fill": "transparent",
    "panel_border_width": "0px",
    "input_background_fill": "var(--input)",
    "input_background_fill_focus": "var(--input)",
    "input_background_fill_hover": "var(--input)",
    "input_border_color": "var(--edge)",
    "input_border_color_focus": "var(--accent)",
    "input_border_color_hover": "var(--edge)",
    "input_border_width": "1px",
    "input_padding": "8px 10px",
    "input_placeholder_color": "var(--ink-3)",
    "input_radius": "7px",
    "input_shadow": "none",
    "input_shadow_focus": "none",
    "input_text_size": "14px",
    "button_border_width": "1px",
    "button_transform_hover": "none",
    "button_transform_active": "none",
    "button_large_radius": "7px",
    "button_large_text_size": "14px",
    "button_large_text_weight": "600",
    "button_large_padding": "0 16px",
    "button_small_radius": "7px",
    "button_small_text_size": "13px",
    "button_small_text_weight": "400",
    "button_primary_background_fill": "var(--accent)",
    "button_primary_background_fill_hover": "var(--accent-strong)",
    "button_primary_border_color": "transparent",
    "button_primary_border_color_hover": "transparent",
    "button_primary_text_color": "var(--on-accent)",
    "button_primary_text_color_hover": "var(--on-accent)",
    "button_primary_shadow": "none",
    "button_secondary_background_fill": "var(--panel)",
    "button_secondary_background_fill_hover": "var(--raise)",
    "button_secondary_border_color": "var(--edge)",
    "button_secondary_border_color_hover": "var(--edge)",
    "button_secondary_text_color": "var(--ink)",
    "button_secondary_text_color_hover": "var(--ink)",
    "button_secondary_shadow": "none",
    "error_background_fill": "var(--alarm-soft)",
    "error_border_color": "var(--alarm)",
    "error_text_color": "var(--alarm)",
    "error_icon_color": "var(--alarm)",
    "slider_color": "var(--accent)",
    "loader_color": "var(--accent)",
}


class Quiet(gr.themes.Base):
    """One accent, thin lines, small radii."""

    def __init__(self) -> None:
        super().__init__(
            spacing_size=gr.themes.sizes.spacing_md,
            radius_size=gr.themes.sizes.radius_sm,
            text_size=gr.themes.sizes.text_md,
            font=(gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"),
            font_mono=(gr.themes.LocalFont("IBM Plex Mono", weights=(400,)), "ui-monospace", "monospace"),
        )
        self.name = "quiet"
        known = inspect.signature(gr.themes.Base.set).parameters
        dark = {f"{name}_dark": value for name, value in VARIABLES.items() if f"{name}_dark" in known}
        super().set(**(VARIABLES | dark))
