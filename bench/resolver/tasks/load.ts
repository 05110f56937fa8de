import { inParallel } from "../../support/concurrent.ts";
import { distributionOf, type Distribution } from "../../support/distribution.ts";
import { openRawConnection, type RawConnection } from "../../support/raw-connection.ts";
import { serveTask } from "../../support/task-process.ts";

/** Connections that are opened at one time: below the queue of any listening socket. */
const OPENING_MAX = 256;
/** How often what is due is sent at a steady rate. */
const TICK_MS = 2;

export interface Target {
  readonly port: number;
  readonly connections: number;
  /** Whole texts of requests, sent in turn over all connections. */
  readonly requests: readonly string[];
}

export interface Answers {
  readonly answered: number;
  /** How many were answered otherwise than 200, by status. */
  readonly others: Readonly<Record<string, number>>;
  readonly tookMs: number;
  readonly latencyMs: Distribution;
}

/** Each run has connections of its own: a server closes those that are idle for some seconds. */
export type Load = {
  /** Keeps under a name what the others ask for. */
  readonly aim: (input: { readonly name: string; readonly target: Target }) => Promise<void>;
  /** As fast as it is answered, one request at a time on each connection. */
  readonly saturate: (input: { readonly name: string; readonly durationMs: number }) => Promise<Answers>;
  /** Every request once. */
  readonly each: (input: { readonly name: string }) => Promise<Answers>;
  /** At a fixed rate, whether or not earlier requests are answered. */
  readonly steadily: (input: {
    readonly name: string;
    readonly perSecond: number;
    readonly durationMs: number;
  }) => Promise<Answers>;
  /** One request on each connection, all sent before any answer is looked at. */
  readonly atOnce: (input: { readonly name: string }) => Promise<Answers>;
};

interface Lane {
  readonly connection: RawConnection;
  sentAt: number;
}

interface Aim extends Target {
  /** How many were sent so far. */
  sent: number;
}

const aims = new Map<string, Aim>();

function aimed(name: string): Aim {
  const aim = aims.get(name);
  if (!aim) throw new Error(`nothing is known of ${name}`);
  return aim;
}

interface Plan {
  /** Sends the first requests. `check` is to be called when nothing more will be sent. */
  begin(send: (lane: Lane, dueAt?: number) => void, check: () => void): void;
  /** Told which connection is free again, and how long the run has taken. */
  free(lane: Lane, elapsedMs: number): void;
  /** Whether nothing more will be sent. */
  over(): boolean;
}

/** Runs until the plan is over and everything that was sent is answered. */
async function run(aim: Aim, planFor: (lanes: readonly Lane[]) => Plan): Promise<Answers> {
  const { port, connections, requests } = aim;
  const latenciesMs: number[] = [];
  const others: Record<string, number> = {};
  const finished = Promise.withResolvers<undefined>();
  const lanes: Lane[] = [];
  let plan: Plan | undefined;
  let underWay = 0;
  let startedAt = 0;
  const check = () => {
    if (underWay === 0 && plan?.over() === true) finished.resolve(undefined);
  };
  await inParallel(connections, OPENING_MAX, async () => {
    const lane: Lane = { connection: await openRawConnection({ port, onAnswer, onFailure }), sentAt: 0 };
    lanes.push(lane);

    function onAnswer(_connection: RawConnection, status: number): void {
      const now = performance.now();
      latenciesMs.push(now - lane.sentAt);
      if (status !== 200) others[status] = (others[status] ?? 0) + 1;
      underWay--;
      plan?.free(lane, now - startedAt);
      check();
    }
  });

  function onFailure(error: Error): void {
    finished.reject(error);
  }

  plan = planFor(lanes);
  startedAt = performance.now();
  plan.begin((lane, dueAt = performance.now()) => {
    lane.sentAt = dueAt;
    underWay++;
    lane.connection.send(requests[aim.sent++ % requests.length] ?? "");
  }, check);
  try {
    await finished.promise;
    const tookMs = performance.now() - startedAt;
    return { answered: latenciesMs.length, others, tookMs, latencyMs: distributionOf(latenciesMs) };
  } finally {
    for (const { connection } of lanes) connection.close();
  }
}

/** Keeps every connection busy until `enough` says so, told how many were sent and for how long it has gone on. */
function busily(aim: Aim, enough: (sent: number, elapsedMs: number) => boolean): Promise<Answers> {
  let send: (lane: Lane) => void = () => undefined;
  let sent = 0;
  const free = (lane: Lane, elapsedMs: number) => {
    if (enough(sent, elapsedMs)) return;
    sent++;
    send(lane);
  };
  return run(aim, (lanes) => ({
    begin(sendNow) {
      send = sendNow;
      for (const lane of lanes) free(lane, 0);
    },
    free,
    over: () => true,
  }));
}

function evenly(aim: Aim, perSecond: number, durationMs: number): Promise<Answers> {
  let ticking = true;
  return run(aim, (lanes) => {
    const idle = [...lanes];
    return {
      begin(send, check) {
        const startedAt = performance.now();
        let sent = 0;
        const timer = setInterval(() => {
          const elapsedMs = performance.now() - startedAt;
          const due = Math.floor((Math.min(elapsedMs, durationMs) / 1000) * perSecond);
          for (let lane = sent < due ? idle.pop() : undefined; lane; lane = sent < due ? idle.pop() : undefined) {
            // From when it was due: what waits for a connection has waited as well.
            send(lane, startedAt + (sent++ / perSecond) * 1000);
          }
          if (elapsedMs < durationMs || sent < due) return;
          clearInterval(timer);
          ticking = false;
          check();
        }, TICK_MS);
      },
      free: (lane) => void idle.push(lane),
      over: () => !ticking,
    };
  });
}

const load: Load = {
  async aim({ name, target }) {
    aims.set(name, { ...target, sent: 0 });
  },
  saturate: async ({ name, durationMs }) => busily(aimed(name), (_sent, elapsedMs) => elapsedMs >= durationMs),
  async each({ name }) {
    const aim = aimed(name);
    return busily(aim, (sent) => sent >= aim.requests.length);
  },
  steadily: async ({ name, perSecond, durationMs }) => evenly(aimed(name), perSecond, durationMs),
  async atOnce({ name }) {
    const aim = aimed(name);
    return busily(aim, (sent) => sent >= aim.connections);
  },
};

serveTask(load);
