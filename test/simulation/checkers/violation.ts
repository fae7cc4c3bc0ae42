/** A broken promise, found by a checker; ends the run of its seed. */
export class Violation extends Error {
  override readonly name = "Violation";
  readonly property: string;

  constructor(property: string, what: string) {
    super(`${property}: ${what}`);
    this.property = property;
  }
}

export function demand(
  condition: boolean,
  property: string,
  what: () => string,
): asserts condition {
  if (!condition) throw new Violation(property, what());
}
