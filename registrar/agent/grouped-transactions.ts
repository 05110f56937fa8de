import { EtcdError, type Compare, type Etcd, type Operation, type TransactionResult } from "../etcd/port.ts";

type Transact = Etcd["transact"];

/**
 * Writes that share a transaction. Each brings two compares at most, its key's and its sentinel's, and etcd takes 128
 * operations; with registrations of 4 KiB it is far below the 1.5 MiB that a request may have.
 */
const GROUP_MAX = 60;
/**
 * Transactions under way; what comes meanwhile waits for the next, and makes one with it. More, and groups stay small;
 * fewer, and an etcd that is far away takes less a second than it could.
 */
const GROUPS_UNDER_WAY_MAX = 2;

/** With these etcd has done nothing, because of one write of the group; the others are not to blame. */
const REFUSALS: ReadonlySet<string> = new Set(["invalid", "lease_not_found", "permission_denied"]);

interface Waiting {
  readonly compares: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
  readonly answer: PromiseWithResolvers<TransactionResult>;
}

/**
 * Makes one transaction of writes that come while others are under way: a proposal, a commit to disk and a message
 * each would be most of what a registration costs etcd and us. Every one is answered as if it had been alone, except
 * that those of a group have one revision. No two that wait may be about the same key; the caller's queue sees to that.
 *
 * A group passes only as a whole. One that does not, because a key has changed or is refused, is made again one by one:
 * nothing of it was done. When its outcome is unknown, it is so for each of them, and what waits behind it fails as
 * well: one after the other would keep their callers waiting for as many deadlines of an etcd that does not answer.
 */
export function groupTransactions(transact: Transact): Transact {
  const waiting: Waiting[] = [];
  let underWay = 0;

  function pump(): void {
    while (waiting.length > 0 && underWay < GROUPS_UNDER_WAY_MAX) {
      underWay++;
      void run(waiting.splice(0, GROUP_MAX)).finally(() => {
        underWay--;
        pump();
      });
    }
  }

  async function run(group: readonly Waiting[]): Promise<void> {
    const [first] = group;
    try {
      if (first && group.length === 1) {
        first.answer.resolve(await transact(first.compares, first.success, first.failure));
        return;
      }
      const success = group.flatMap((member) => member.success);
      const { succeeded, revision } = await transact(distinct(group.flatMap(({ compares }) => compares)), success);
      if (succeeded) {
        for (const { answer } of group) answer.resolve({ succeeded, revision, results: [undefined] });
        return;
      }
    } catch (error) {
      const refused = error instanceof EtcdError && REFUSALS.has(error.code);
      if (!refused || group.length === 1) {
        for (const { answer } of refused ? group : [...group, ...waiting.splice(0)]) answer.reject(error);
        return;
      }
    }
    await Promise.all(group.map(alone));
  }

  async function alone({ compares, success, failure, answer }: Waiting): Promise<void> {
    await transact(compares, success, failure).then(answer.resolve, answer.reject);
  }

  return (compares, success, failure = []) => {
    const answer = Promise.withResolvers<TransactionResult>();
    waiting.push({ compares, success, failure, answer });
    pump();
    return answer.promise;
  };
}

/** Instances of one lease compare the same sentinel. */
function distinct(compares: readonly Compare[]): readonly Compare[] {
  return [
    ...new Map(compares.map((compare) => [`${compare.target} ${compare.equals} ${compare.key}`, compare])).values(),
  ];
}
