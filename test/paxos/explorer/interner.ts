/** Gives equal things equal small numbers. */
export class Interner<Thing> {
  readonly #idByKey = new Map<string, number>();
  readonly #things: Thing[] = [];

  idOf(key: string, make: () => Thing): number {
    const known = this.#idByKey.get(key);
    if (known !== undefined) return known;
    const id = this.#things.length;
    this.#things.push(make());
    this.#idByKey.set(key, id);
    return id;
  }

  get(id: number): Thing {
    const thing = this.#things[id];
    if (thing === undefined) throw new Error(`nothing has the id ${id}`);
    return thing;
  }

  get size(): number {
    return this.#things.length;
  }
}
