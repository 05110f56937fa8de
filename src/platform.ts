import type { Background } from "./lookup/flight.ts";

/** Where a request came in, as far as the platform tells. */
export interface Location {
  /** The data centre, by the code of its airport. */
  readonly colo?: string;
  /** ISO 3166-1, two letters. */
  readonly country?: string;
  /** Two letters: AF, AN, AS, EU, NA, OC, SA. */
  readonly continent?: string;
  /** Of the caller's country: a name, and the code of ISO 3166-2. */
  readonly region?: string;
  readonly regionCode?: string;
  readonly city?: string;
  /** Degrees. */
  readonly latitude?: string;
  readonly longitude?: string;
}

/** What a request brings besides itself. */
export interface Platform {
  /** Keeps work alive past the answer. */
  readonly background: Background;
  readonly location?: Location | undefined;
}

/** Where work goes on by itself once it was begun, and nobody is told where a request came from. */
export const plainPlatform: Platform = { background: () => undefined };
