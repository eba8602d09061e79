// Who is drawn in the next frame. All views of the page share its time.

const TURN = 8; // milliseconds of a frame
const SLOW = 40; // milliseconds from one frame to the next, above which only one view is drawn

const waiting = new Set();
let asked = 0;
let last = 0;

/** Have `draw(until)` called in the next frame, once however often it is asked for; again while it gives false. */
export function soon(draw) {
  waiting.add(draw);
  asked ||= requestAnimationFrame(turn);
}

function turn(now) {
  asked = 0;
  const until = performance.now() + TURN;
  const slow = now - last > SLOW;
  last = now;
  try {
    for (const draw of [...waiting]) {
      waiting.delete(draw);
      if (draw(until) === false) waiting.add(draw); // behind the others
      if (slow || performance.now() > until) break;
    }
  } finally {
    if (waiting.size) asked = requestAnimationFrame(turn); // whatever one of them raised
  }
}
