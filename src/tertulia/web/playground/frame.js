// Who is drawn in the next frame. All views of the page share its time.

const TURN = 8; // milliseconds of a frame

const waiting = new Set();
let asked = 0;

/** Have `draw(until)` called in the next frame, once however often it is asked for; again, as long as it gives false. */
export function soon(draw) {
  waiting.add(draw);
  asked ||= requestAnimationFrame(turn);
}

function turn() {
  asked = 0;
  const until = performance.now() + TURN;
  for (const draw of [...waiting]) {
    waiting.delete(draw);
    if (draw(until) === false) waiting.add(draw); // behind the others
    if (performance.now() > until) break;
  }
  if (waiting.size) asked = requestAnimationFrame(turn);
}
