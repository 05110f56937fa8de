/** How much something may grow over what is judged of a soak, and still count as flat. */
export interface Tolerance {
  /** Of its median. */
  readonly part: number;
  /** In its unit: what comes and goes by itself where the median is small. */
  readonly floor: number;
}

export interface Quantity {
  readonly title: string;
  readonly unit: string;
  readonly tolerance: Tolerance;
}

export type QuantityName = keyof typeof QUANTITIES;

export const QUANTITIES = {
  // What allocators have had once they seldom give back, and how much of it is in use changes: a tenth is their business.
  rss: { title: "Resident memory", unit: "MB", tolerance: { part: 0.1, floor: 12 } },
  // After a full collection only what is reachable is left: that is the number a leak cannot hide from.
  heap: { title: "Heap of Node after a full collection", unit: "MB", tolerance: { part: 0.05, floor: 1 } },
  // Pools of connections hold a few more or less; a leak of one a minute is found within ten.
  handles: { title: "Open descriptors", unit: "", tolerance: { part: 0.1, floor: 6 } },
  sockets: { title: "Sockets", unit: "", tolerance: { part: 0.1, floor: 6 } },
  // An agent keeps an empty lease for a minute, and churn empties and fills them.
  leases: { title: "Leases in etcd", unit: "", tolerance: { part: 0.1, floor: 3 } },
  watchers: { title: "Watchers in etcd", unit: "", tolerance: { part: 0, floor: 1.5 } },
  streams: { title: "Client streams of etcd", unit: "", tolerance: { part: 0.1, floor: 3 } },
  // Compacted once a minute, as whoever runs an etcd has it done; what is free in the file is not counted.
  database: { title: "Database of etcd, in use", unit: "MB", tolerance: { part: 0.1, floor: 0.5 } },
  // Services that are scaled to zero leave tombstones for three minutes.
  keys: { title: "Keys in Redis", unit: "", tolerance: { part: 0.1, floor: 4 } },
  // Its clients' buffers and the replication backlog are within the floor.
  data: { title: "Memory that Redis has allocated", unit: "MB", tolerance: { part: 0.1, floor: 1 } },
  // A process that has nothing to complain of says next to nothing.
  logs: { title: "Logged", unit: "B/s", tolerance: { part: 0.5, floor: 40 } },
} as const satisfies Record<string, Quantity>;
