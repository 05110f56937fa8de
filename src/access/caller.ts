/** Who asks, and what they may see. What they may not see is refused before anything is looked up for it. */
export interface Caller {
  /** Told in logs and counted by rate limits: never a credential. */
  readonly name: string;
  /** Sees everything: a listing need not be filtered. */
  readonly unrestricted: boolean;
  may(namespace: string, service: string): boolean;
  /** Whether they may see any service of it at all, there or not. */
  mayList(namespace: string): boolean;
}

/** A caller who may see everything. */
export function unrestrictedCaller(name: string): Caller {
  return { name, unrestricted: true, may: () => true, mayList: () => true };
}
