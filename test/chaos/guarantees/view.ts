import type {
  At,
  CommitEvent,
  EtcdSampleEvent,
  FaultEvent,
  HistoryEvent,
  InstanceEvent,
  LifeEvent,
  Phase,
  ProcessName,
  ReadEvent,
  RunSettings,
  SampleEvent,
  StateEvent,
  WriteEvent,
} from "../history/event.ts";
import { mergeSpans, type Span, type Spans } from "./spans.ts";

/** One fault, from its beginning until it was undone; `to` is Infinity where it never was. */
export interface FaultSpan extends Span {
  readonly event: FaultEvent;
}

export interface PhaseSpan extends Span {
  readonly phase: Phase;
}

/** What happened to one instance, in the order in which it began. */
export interface Chronicle {
  readonly service: string;
  readonly instance: string;
  readonly truth: readonly InstanceEvent[];
  /** Without heartbeats, which change nothing that a reader could see to be missing. */
  readonly writes: readonly WriteEvent[];
}

/** A history, sorted into what the checks ask for. */
export interface View {
  readonly history: readonly HistoryEvent[];
  readonly settings: RunSettings;
  readonly endAt: At;
  readonly phases: readonly PhaseSpan[];
  readonly faults: readonly FaultSpan[];
  readonly lives: ReadonlyMap<ProcessName, readonly LifeEvent[]>;
  /** When a process was gone, not ready yet, or paused. */
  readonly absences: ReadonlyMap<ProcessName, Spans>;
  /** When it certainly did nothing: not even started yet, or paused. */
  readonly deaths: ReadonlyMap<ProcessName, Spans>;
  readonly stalls: Spans;
  readonly reads: readonly ReadEvent[];
  readonly writes: readonly WriteEvent[];
  /** By service and then by instance. */
  readonly chronicles: ReadonlyMap<string, ReadonlyMap<string, Chronicle>>;
  readonly commits: readonly CommitEvent[];
  readonly samples: ReadonlyMap<ProcessName, readonly SampleEvent[]>;
  readonly etcdSamples: ReadonlyMap<ProcessName, readonly EtcdSampleEvent[]>;
  readonly states: readonly StateEvent[];
}

/** Of a history without a first line, as a test may write it: what the product does unless told otherwise. */
export const SETTINGS_DEFAULT: RunSettings = {
  agents: 3,
  publishers: 2,
  leaseTtlSeconds: 5,
  sessionTtlSeconds: 5,
  probeSeconds: 2,
  freshMs: 1000,
  swrMs: 2000,
  budgetMs: 250,
  coldBudgetMs: 2000,
  staleAfterMs: 10_000,
};

const views = new WeakMap<readonly HistoryEvent[], View>();

/** Made once for each history, since ten checks ask for it. */
export function viewOf(history: readonly HistoryEvent[]): View {
  const view = views.get(history) ?? createView(history);
  views.set(history, view);
  return view;
}

function createView(history: readonly HistoryEvent[]): View {
  const of = <T extends HistoryEvent["type"]>(type: T) =>
    history.filter((event): event is Extract<HistoryEvent, { type: T }> => event.type === type);
  const writes = of("write");
  const lives = Map.groupBy(of("life"), (event) => event.process);
  // Not by Math.max(...), which takes no more than some hundred thousand arguments.
  const endAt = history.reduce((last, event) => Math.max(last, timeOf(event)), 0);
  return {
    history,
    settings: of("run")[0]?.settings ?? SETTINGS_DEFAULT,
    endAt,
    phases: phasesOf(of("phase"), endAt),
    faults: faultsOf(of("fault")),
    lives,
    absences: new Map([...lives].map(([process, events]) => [process, absencesOf(events, ["ready", "resumed"])])),
    deaths: new Map([...lives].map(([process, events]) => [process, absencesOf(events, ["started", "resumed"])])),
    stalls: mergeSpans(of("stall")),
    reads: of("read"),
    writes,
    chronicles: chroniclesOf(of("instance"), writes),
    commits: of("commit"),
    samples: Map.groupBy(of("sample"), (event) => event.process),
    etcdSamples: Map.groupBy(of("etcd"), (event) => event.process),
    states: of("state"),
  };
}

function timeOf(event: HistoryEvent): At {
  if (event.type === "run") return 0;
  if ("at" in event) return event.at;
  return event.to ?? event.from;
}

function phasesOf(events: readonly { readonly at: At; readonly phase: Phase }[], endAt: At): PhaseSpan[] {
  return events.map(({ at, phase }, index) => ({ phase, from: at, to: events[index + 1]?.at ?? endAt }));
}

function faultsOf(events: readonly FaultEvent[]): FaultSpan[] {
  const byId = new Map<number, FaultEvent>();
  for (const event of events) if (event.to !== undefined || !byId.has(event.id)) byId.set(event.id, event);
  return [...byId.values()]
    .map((event) => ({ event, from: event.from, to: event.to ?? Infinity }))
    .toSorted((a, b) => a.from - b.from);
}

function absencesOf(events: readonly LifeEvent[], endedBy: readonly LifeEvent["change"][]): Spans {
  const spans: Span[] = [];
  let since: At | undefined = 0;
  for (const { at, change } of events) {
    if (endedBy.includes(change)) {
      if (since !== undefined) spans.push({ from: since, to: at });
      since = undefined;
    } else if (change !== "ready") since ??= at;
  }
  if (since !== undefined) spans.push({ from: since, to: Infinity });
  return mergeSpans(spans);
}

function chroniclesOf(
  truth: readonly InstanceEvent[],
  writes: readonly WriteEvent[],
): ReadonlyMap<string, ReadonlyMap<string, Chronicle>> {
  interface Draft extends Chronicle {
    readonly truth: InstanceEvent[];
    readonly writes: WriteEvent[];
  }
  const byService = new Map<string, Map<string, Draft>>();
  function draftOf({ service, instance }: Pick<Chronicle, "service" | "instance">): Draft {
    const drafts = byService.get(service) ?? new Map<string, Draft>();
    const draft = drafts.get(instance) ?? { service, instance, truth: [], writes: [] };
    byService.set(service, drafts.set(instance, draft));
    return draft;
  }
  for (const event of truth) draftOf(event).truth.push(event);
  for (const event of writes) if (event.operation !== "heartbeat") draftOf(event).writes.push(event);
  for (const drafts of byService.values()) {
    for (const draft of drafts.values()) {
      draft.truth.sort((a, b) => a.at - b.at);
      draft.writes.sort((a, b) => a.from - b.from);
    }
  }
  return byService;
}
