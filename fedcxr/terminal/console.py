"""Rich's console, told to obey nothing that stands in a text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.text import Text

from fedcxr.terminal.text import lines_of, one_line

if TYPE_CHECKING:
    from rich.progress import TextColumn

_INDENT = "  "


class Console(RichConsole):
    """A console on which a string is text and one line: no markup, no emoji codes, no highlighting.

    Colours are given beside a text (:meth:`say`), never in it. Whatever else is printed, a table or a text
    of more lines, has no control character but the ends of its lines.
    """

    def __init__(
        self, *, stderr: bool = False, file: IO[str] | None = None, width: int | None = None, **more: Any
    ) -> None:
        super().__init__(
            stderr=stderr, file=file, width=width, markup=False, emoji=False, highlight=False, **more
        )

    def say(self, *parts: str | tuple[str, str]) -> None:
        """Print texts side by side as one line that is not folded; a pair is a text and its style."""
        pairs = ((part, "") if isinstance(part, str) else part for part in parts)
        shown = Text.assemble(*((one_line(text), style) for text, style in pairs))
        self.print(shown, soft_wrap=True)

    def render_str(self, text: str, **how: Any) -> Text:
        """A string as a text; its width is known before a table is laid out."""
        return super().render_str(one_line(text), **{**how, "markup": False, "emoji": False})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces that are printed: rich's own controls, and text without any."""
        for piece in super().render(renderable, options):
            if piece.control or piece.text.isprintable():
                yield piece
            else:
                yield Segment(lines_of(piece.text), piece.style)


class Hanging:
    """One line of text that is folded where the place is narrow; what follows the first line is indented.

    So no text can put words of its choice at the beginning of a line.
    """

    def __init__(self, text: str, style: str = "") -> None:
        self._text = Text(one_line(text), style)

    def __rich_measure__(self, console: RichConsole, options: ConsoleOptions) -> Measurement:
        least, most = Measurement.get(console, options, self._text)
        return Measurement(min(least + len(_INDENT), most), most)

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        if self._text.cell_len <= width:
            yield self._text
        else:
            yield Text(f"\n{_INDENT}").join(self._text.wrap(console, max(width - len(_INDENT), 1)))


def described() -> TextColumn:
    """A progress bar's column for the description of its task, which may be somebody's name."""
    from rich.progress import TextColumn

    return TextColumn("{task.description}", markup=False)
