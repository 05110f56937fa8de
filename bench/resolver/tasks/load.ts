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

export type Load = {
  /** Opens connections under a name. */
  readonly open: (input: { readonly name: string; readonly target: Target }) => Promise<void>;
  readonly close: (input: { readonly name: string }) => Promise<void>;
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

interface Crowd {
  readonly lanes: readonly Lane[];
  /** The text of the next request. */
  next(): string;
  readonly count: number;
  /** Told of every answer, and of the end of a connection, while something runs. */
  answered: (lane: Lane, status: number) => void;
  failed: (error: Error) => void;
}

const crowds = new Map<string, Crowd>();

function crowd(name: string): Crowd {
  const found = crowds.get(name);
  if (!found) throw new Error(`nothing is open as ${name}`);
  return found;
}

async function open({ name, target }: { readonly name: string; readonly target: Target }): Promise<void> {
  const { port, connections, requests } = target;
  const lanes: Lane[] = [];
  let at = 0;
  const opened: Crowd = {
    lanes,
    count: requests.length,
    next: () => requests[at++ % requests.length] ?? "",
    answered: () => undefined,
    failed(error) {
      throw error;
    },
  };
  const openOne = async () => {
    const connection = await openRawConnection({
      port,
      onAnswer: (_connection, status) => opened.answered(lane, status),
      onFailure: (error) => opened.failed(error),
    });
    const lane: Lane = { connection, sentAt: 0 };
    lanes.push(lane);
  };
  while (lanes.length < connections) {
    await Promise.all(Array.from({ length: Math.min(OPENING_MAX, connections - lanes.length) }, openOne));
  }
  crowds.set(name, opened);
}

async function close({ name }: { readonly name: string }): Promise<void> {
  for (const { connection } of crowd(name).lanes) connection.close();
  crowds.delete(name);
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
async function run(of: Crowd, plan: Plan): Promise<Answers> {
  const latenciesMs: number[] = [];
  const others: Record<string, number> = {};
  const finished = Promise.withResolvers<undefined>();
  let underWay = 0;
  const check = () => {
    if (underWay === 0 && plan.over()) finished.resolve(undefined);
  };
  of.failed = (error) => finished.reject(error);
  of.answered = (lane, status) => {
    const now = performance.now();
    latenciesMs.push(now - lane.sentAt);
    if (status !== 200) others[status] = (others[status] ?? 0) + 1;
    underWay--;
    plan.free(lane, now - startedAt);
    check();
  };
  const startedAt = performance.now();
  plan.begin((lane, dueAt = performance.now()) => {
    lane.sentAt = dueAt;
    underWay++;
    lane.connection.send(of.next());
  }, check);
  await finished.promise;
  const tookMs = performance.now() - startedAt;
  return { answered: latenciesMs.length, others, tookMs, latencyMs: distributionOf(latenciesMs) };
}

/** Keeps every connection busy until `enough` says so, told how many were sent and for how long it has gone on. */
function busily(of: Crowd, enough: (sent: number, elapsedMs: number) => boolean): Promise<Answers> {
  let send: (lane: Lane) => void = () => undefined;
  let sent = 0;
  const free = (lane: Lane, elapsedMs: number) => {
    if (enough(sent, elapsedMs)) return;
    sent++;
    send(lane);
  };
  return run(of, {
    begin(sendNow) {
      send = sendNow;
      for (const lane of of.lanes) free(lane, 0);
    },
    free,
    over: () => true,
  });
}

async function steadily(input: Parameters<Load["steadily"]>[0]): Promise<Answers> {
  const { name, perSecond, durationMs } = input;
  const of = crowd(name);
  const idle = [...of.lanes];
  let ticking = true;
  return run(of, {
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
  });
}

const load: Load = {
  open,
  close,
  saturate: ({ name, durationMs }) => busily(crowd(name), (_sent, elapsedMs) => elapsedMs >= durationMs),
  each({ name }) {
    const of = crowd(name);
    return busily(of, (sent) => sent >= of.count);
  },
  steadily,
  atOnce({ name }) {
    const of = crowd(name);
    return busily(of, (sent) => sent >= of.lanes.length);
  },
};

serveTask(load);
