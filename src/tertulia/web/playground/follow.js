// Who reads along at the end of a conversation stays there, until he goes elsewhere himself.

const NEAR = 48; // pixels from the end at which one reads along
const LITTLE = 1; // pixels that are no move: places are rounded

/**
 * Keep the end of `inner` in sight, which `scroller` scrolls, while `live()` is true and until somebody does something
 * in it after that, as what comes last is drawn later. Who scrolls back is left where he is until he is at the end
 * again. Gives a function to begin with: it goes to the end.
 */
export function follow(scroller, inner, live) {
  let [stuck, on] = [true, false];
  let [top, most] = [0, 0]; // where it was, and the furthest it could be, when last looked at
  const look = () => {
    top = scroller.scrollTop;
    most = scroller.scrollHeight - scroller.clientHeight;
  };
  const end = () => {
    scroller.scrollTop = scroller.scrollHeight;
    look();
  };
  const moved = () => {
    const before = { top, most };
    look();
    // What grows or shrinks moves either the place or the end. Who scrolls back moves away from the end.
    if (top !== before.top && most - top > before.most - before.top + LITTLE) stuck = false;
    else if (top > before.top && most - top < NEAR) stuck = true;
  };
  const grown = () => {
    on ||= live();
    if (stuck && on) end();
  };
  const touched = () => {
    on &&= live() || Boolean(inner.querySelector(".answer[aria-busy]"));
  };
  scroller.addEventListener("scroll", moved, { passive: true });
  for (const kind of ["pointerdown", "keydown"]) scroller.addEventListener(kind, touched, { passive: true });
  const observer = new ResizeObserver(grown);
  for (const one of [scroller, inner]) observer.observe(one);
  return () => {
    [stuck, on] = [true, true];
    end();
  };
}
