import type { Registration } from "../../../contract/registration.ts";
import type { Evidence, ProbeResult } from "./hold.ts";

type Place = Pick<Registration, "protocol" | "zone">;

/**
 * What one round of probes told of the network between the publisher and its instances. Others count only with others
 * of their protocol, since a service that takes no TCP connections says nothing; for silence also of their zone.
 */
export interface Tally {
  /** Of an instance that etcd has as up. */
  addLive(place: Place, result: ProbeResult): void;
  /** Of one that is held: that it answers shows a way; that it does not is what is to be found out. */
  addHeld(place: Place, result: ProbeResult): void;
  evidenceFor(place: Place): Evidence;
}

interface Count {
  asked: number;
  answered: number;
}

export function createTally(): Tally {
  const counts = new Map<string, Count>();
  const byProtocol = ({ protocol }: Place) => protocol;
  const byZone = ({ protocol, zone }: Place) => `${protocol}/${zone ?? ""}`;

  function add(place: Place, result: ProbeResult): void {
    for (const key of [byProtocol(place), byZone(place)]) {
      const count = counts.get(key) ?? { asked: 0, answered: 0 };
      count.asked++;
      if (result === "answered") count.answered++;
      counts.set(key, count);
    }
  }

  /** At least half: a few that hang must not keep every ghost, and a few that answer prove little of a broken zone. */
  const isWell = (key: string) => {
    const { asked, answered } = counts.get(key) ?? { asked: 0, answered: 0 };
    return answered > 0 && answered * 2 >= asked;
  };

  return {
    addLive: add,
    addHeld(place, result) {
      if (result === "answered") add(place, result);
    },
    evidenceFor: (place) => ({ refusals: isWell(byProtocol(place)), silence: isWell(byZone(place)) }),
  };
}
