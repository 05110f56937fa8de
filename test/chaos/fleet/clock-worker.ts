import { offsetDate } from "./clock-offset.ts";

interface Worker {
  fetch(request: Request, env: unknown, context: unknown): Response | Promise<Response>;
}

/** Nobody but a chaos run asks for this. */
const PATH = "/chaos/clock-offset";

const setOffset = offsetDate();
const realNow = performance.now.bind(performance);
let offsetMs = 0;
// On Workers this is the wall clock as well, and goes where that goes.
performance.now = () => realNow() + offsetMs;

/** The Worker, whose clock goes off by the milliseconds that are posted to it. */
export function withClock(worker: Worker): Worker {
  return {
    fetch(request, env, context) {
      if (new URL(request.url).pathname !== PATH) return worker.fetch(request, env, context);
      return request.text().then((text) => {
        offsetMs = Number(text);
        setOffset(offsetMs);
        return new Response("set");
      });
    },
  };
}
