/** Orders what is published: a later epoch wins, and within one epoch a later revision. */
export interface Version {
  /** Grows with every claim by a publisher. */
  readonly epoch: number;
  /** Grows with every commit, and is carried over from one epoch to the next. */
  readonly revision: number;
}

/** Negative when `a` is older than `b`, zero when they are the same, positive when it is newer. */
export function compareVersions(a: Version, b: Version): number {
  return a.epoch - b.epoch || a.revision - b.revision;
}
