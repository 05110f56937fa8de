/** A number in [0, 1), as Math.random gives; passed in so that a seed can replay a run. */
export type Random = () => number;

export const systemRandom: Random = () => Math.random();
