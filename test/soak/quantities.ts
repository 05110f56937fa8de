/** How much something may grow over what is judged of a soak, and still count as flat. */
export interface Tolerance {
  /** Of its median. */
  readonly part: number;
  /** In its unit: what comes and goes by itself where the median is small. */
  readonly floor: number;
}

export interface Quantity {
  /** Short: it stands beside a chart. */
  readonly title: string;
  readonly unit: string;
  readonly tolerance: Tolerance;
}

export type QuantityName = keyof typeof QUANTITIES;

export const QUANTITIES = {
  // What allocators have had once they seldom give back, and how much of it is in use changes: a tenth is their business.
  rss: { title: "memory", unit: "MB", tolerance: { part: 0.1, floor: 12 } },
  // Etcd keeps its log in memory until a snapshot is taken of it, after 100,000 entries unless told otherwise: an hour of
  // this has some ten thousand, of about a kilobyte.
  etcdRss: { title: "memory of etcd", unit: "MB", tolerance: { part: 0.1, floor: 24 } },
  // After a full collection only what is reachable is left: that is the number a leak cannot hide from. The Worker's has a
  // few megabytes of garbage in it at most.
  heap: { title: "heap", unit: "MB", tolerance: { part: 0.05, floor: 1 } },
  // Pools of connections hold a few more or less; a leak of one a minute is found within ten.
  handles: { title: "descriptors", unit: "", tolerance: { part: 0.1, floor: 6 } },
  sockets: { title: "sockets", unit: "", tolerance: { part: 0.1, floor: 6 } },
  // An agent keeps an empty lease for a minute, and churn empties and fills them.
  leases: { title: "leases in etcd", unit: "", tolerance: { part: 0.1, floor: 3 } },
  watchers: { title: "watchers of etcd", unit: "", tolerance: { part: 0, floor: 1.5 } },
  streams: { title: "streams of etcd", unit: "", tolerance: { part: 0.1, floor: 3 } },
  // Of what is in use: compaction, every five minutes, frees pages that the file keeps.
  database: { title: "etcd's database", unit: "MB", tolerance: { part: 0.1, floor: 0.5 } },
  // Services that are scaled to zero leave tombstones for three minutes.
  keys: { title: "keys in Redis", unit: "", tolerance: { part: 0.1, floor: 4 } },
  // What it has allocated: its clients' buffers and the replication backlog are within the floor.
  data: { title: "Redis' data", unit: "MB", tolerance: { part: 0.1, floor: 1 } },
  // A line is some 200 bytes: one every other second more than before is no trend yet.
  logs: { title: "logs", unit: "B/s", tolerance: { part: 0.5, floor: 100 } },
} as const satisfies Record<string, Quantity>;
