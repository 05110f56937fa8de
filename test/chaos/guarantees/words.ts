import type { At, ReadEvent, WriteEvent } from "../history/event.ts";

/** Seconds since the run began, as all messages tell times. */
export const second = (at: At) => `${(at / 1000).toFixed(3)} s`;

export const milliseconds = (ms: number) => `${Math.round(ms)} ms`;

export const reader = ({ reader: name, resolver, life }: ReadEvent) => `${name} of ${resolver} (life ${life})`;

/** What a read came to, in some words. */
export function answer(read: ReadEvent): string {
  if (read.instances) {
    const instances = Object.entries(read.instances).map(([id, { status }]) => `${id} ${status}`);
    return instances.length === 0 ? "no instance" : instances.join(", ");
  }
  return read.error ?? (read.status === undefined ? "nothing" : `${read.status}`);
}

export const version = ({ epoch, revision }: { readonly epoch?: number; readonly revision?: number }) =>
  `(${epoch}, ${revision})`;

export const written = ({ operation, instance, agent, to }: WriteEvent) =>
  `${operation} of ${instance} by ${agent}, answered at ${second(to)}`;
