/** Reading option values. */
import { InvalidArgumentError } from "commander";

/** A parser for commander: a whole number from `lowest` to `highest`. */
export function wholeNumber(lowest: number, highest: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < lowest || value > highest) {
      throw new InvalidArgumentError(`It must be a whole number from ${lowest} to ${highest}.`);
    }
    return value;
  };
}

/** A parser for commander: `a,b` is a list of two. */
export function commaSeparated(text: string): readonly string[] {
  return text.split(",").map((part) => part.trim());
}
