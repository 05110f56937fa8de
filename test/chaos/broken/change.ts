/** One change of the product's sources, made while they are loaded and nowhere else. */
export interface Change {
  /** From the checkout. */
  readonly file: string;
  /** As it stands there, once. */
  readonly from: string;
  readonly to: string;
}

/** Throws where the text is not there exactly once: a build that is not broken would prove nothing. */
export function applyChanges(file: string, source: string, changes: readonly Change[]): string {
  let changed = source;
  for (const change of changes) {
    if (change.file !== file) continue;
    const times = changed.split(change.from).length - 1;
    if (times !== 1) throw new Error(`${file} has ${times} times what a broken build replaces: ${change.from}`);
    changed = changed.replace(change.from, () => change.to);
  }
  return changed;
}
