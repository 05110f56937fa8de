/** From now on `Date` is off by what the function that this gives was last told; by nothing at first. */
export function offsetDate(): (offsetMs: number) => void {
  const Real = Date;
  const realNow = () => Real.now();
  let offsetMs = 0;
  const now = () => realNow() + offsetMs;
  globalThis.Date = new Proxy(Real, {
    apply: () => new Real(now()).toString(),
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as Date,
    get: (target, property) => (property === "now" ? now : (Reflect.get(target, property) as unknown)),
  });
  return (ms) => {
    offsetMs = ms;
  };
}
