/** How much may depart unplanned before the guard holds it back, and how long it holds. */
export interface GuardSettings {
  /**
   * Departures within this time are judged together. Shorter, and a fleet that falls apart slowly is let go piece by
   * piece; longer, and what is let go in an ordinary hour comes to be held.
   */
  readonly windowSeconds: number;
  /** Of a service's instances, which may depart in a window; one always may, while another is up. */
  readonly servicePercent: number;
  /** Of a namespace's instances, which may depart in a window; CATALOG_DEPARTURES_MIN always may. */
  readonly catalogPercent: number;
  /**
   * Longest that an instance is held. Shorter than it takes people to end an incident, and services are emptied in the
   * middle of it; a ghost that no probe tells of lives as long.
   */
  readonly holdSeconds: number;
  /**
   * About how often held instances are probed, and a few live ones beside them; 0 for never. A dead host is let go after
   * two to four rounds. Never, where publishers cannot reach instances: ghosts then stay for holdSeconds.
   */
  readonly probeSeconds: number;
}

export const GUARD_DEFAULT: GuardSettings = {
  windowSeconds: 60,
  servicePercent: 25,
  catalogPercent: 2,
  holdSeconds: 1800,
  probeSeconds: 10,
};

/**
 * Of a hold, what a change of leader may take off by the clocks of both: an election at the default settings. More, and a
 * clock that is ahead ends more; less, and time without a leader makes a hold longer.
 */
export const ELAPSED_PART_MAX = 0.1;
export const SERVICE_DEPARTURES_MIN = 1;
/** The instances of one small host: two percent of a small catalog would be none. */
export const CATALOG_DEPARTURES_MIN = 10;
/** Of an agent whose sentinel does not tell; the registrar's own default. */
export const LEASE_TTL_SECONDS_ASSUMED = 30;
/**
 * Rounds of probes in a row that must fail before a hold ends: fewer when the host itself answers that nothing listens,
 * which a network that drops packets never does. Without evidence from others a round does not count.
 */
export const ROUNDS_REFUSED = 2;
export const ROUNDS_SILENT = 3;
/** Of a service's last instances, for which silence is never enough. */
export const ROUNDS_REFUSED_LAST = 4;
/** A returned agent is given as many of its TTLs to register an instance again. */
export const TTLS_RETURNED = 1;
export const TTLS_RETURNED_LAST = 2;
/**
 * How long a lease that is not renewed may outlast another of its agent, in its own TTLs: one, since it may have been
 * granted for longer while etcd was slow, and one more, since a change of etcd's leader gives every lease its TTL anew.
 */
export const TTLS_UNRENEWED = 2;
