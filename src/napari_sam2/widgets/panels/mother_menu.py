"""A menu to choose an object's mother from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtWidgets import QInputDialog, QMenu

from napari_sam2.widgets.session.overview import Summary

_MOST = 10


def candidates(rows: Sequence[Summary], chosen: Sequence[Summary]) -> list[Summary]:
    """Return objects that may be the mother of the chosen ones, the likeliest first.

    Parameters
    ----------
    rows
        All objects.
    chosen
        The daughters. Their mother begins before them; the less time there is between her last
        frame and their first, the likelier she is.
    """
    ids = {row.object_id for row in chosen}
    begins = [row.first for row in chosen if row.first is not None]
    first = min(begins, default=None)
    found = [
        (0 if first is None or row.last is None else abs(row.last + 1 - first), row.object_id, row)
        for row in rows
        if row.object_id not in ids
        and row.first is not None
        and (first is None or row.first < first)
        and row.mother not in ids
    ]
    return [row for *_, row in sorted(found, key=lambda one: one[:2])]


def add_mother_menu(
    menu: QMenu,
    rows: Sequence[Summary],
    chosen: Sequence[Summary],
    choose: Callable[[int | None], None],
) -> None:
    """Add "Daughter of" to a menu: the likeliest mothers, another one by its number, or nobody.

    Parameters
    ----------
    menu
        To add it to.
    rows, chosen
        As for `candidates`.
    choose
        Called with the mother's id, or None for nobody.
    """
    found = menu.addMenu("Daughter of")
    assert found is not None
    found.setEnabled(bool(chosen))
    possible = candidates(rows, chosen)
    for row in possible[:_MOST]:
        text = f"{row.object_id} {row.name}".strip()
        action = found.addAction(text, lambda i=row.object_id: choose(i))
        assert action is not None
        action.setCheckable(True)
        action.setChecked(all(one.mother == row.object_id for one in chosen))
    if len(possible) > _MOST:
        found.addAction("Another …", lambda: _ask(menu, possible, choose))
    found.addSeparator()
    nobody = found.addAction("Nobody", lambda: choose(None))
    assert nobody is not None
    nobody.setEnabled(any(row.mother is not None for row in chosen))


def _ask(menu: QMenu, possible: Sequence[Summary], choose: Callable[[int | None], None]) -> None:
    ids = [row.object_id for row in possible]
    number, agreed = QInputDialog.getInt(
        menu.parentWidget(), "Daughter of", "Number of the mother:", ids[0], 1, max(ids)
    )
    if agreed:
        choose(number)
