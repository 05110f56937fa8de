import { InvalidArgumentError } from "commander";

/** For a command's option that is a number: refuses what is none, or out of its bounds, by saying what it must be. */
export function between(least: number, most: number, whole: boolean): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= least && value <= most) || (whole && !Number.isInteger(value))) {
      throw new InvalidArgumentError(`It must be a ${whole ? "whole " : ""}number from ${least} to ${most}.`);
    }
    return value;
  };
}
