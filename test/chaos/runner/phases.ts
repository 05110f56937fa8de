/** How long the phases of a run are, beside that of its faults. */
export interface PhaseLengths {
  /** Without a lookup, and with lookups alone: long enough for several samples of each. */
  readonly idleMs: number;
  readonly lookupsMs: number;
  /** For everything to be registered and answered, after the fleet is ready. */
  readonly warmUpMsMax: number;
  /** From there until memory and connections are what they stay at. */
  readonly settleMs: number;
  /** Between two looks at who has what, after the faults. */
  readonly statesEveryMs: number;
  /** In which the last samples are taken, and the last answers given. */
  readonly endMs: number;
}

export const FULL: PhaseLengths = {
  idleMs: 10_000,
  lookupsMs: 10_000,
  warmUpMsMax: 60_000,
  settleMs: 5000,
  statesEveryMs: 1000,
  // Departures are judged only some time after the last fault, in what readers are told here.
  endMs: 15_000,
};

/** Of a run of seconds. */
export const SHORT: PhaseLengths = {
  idleMs: 2200,
  lookupsMs: 2200,
  warmUpMsMax: 60_000,
  settleMs: 500,
  statesEveryMs: 300,
  endMs: 1200,
};

/** Of the phase of faults, unless more is asked for: long enough for a handful in a short run. */
export const FAULTS_MINUTES = 2;
export const FAULTS_MINUTES_SHORT = 0.12;
