/** From a JSON schema of the API document to an arbitrary of values that keep to it, as far as the document uses JSON Schema. */
import fc from "fast-check";

export interface Schema {
  readonly $ref?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

export type Schemas = Readonly<Record<string, Schema>>;

const MAX_DEPTH = 3;
const MAX_ITEMS = 4;
/** The greatest that fast-check draws evenly; a schema's own bound is tried besides. */
const MAX_INTEGER = 0x7fff_ffff;
const REFERENCE = "#/components/schemas/";

/** `known`: instead of what the schema says, for properties of these names; so that requests get past the first check. */
export class SchemaValues {
  readonly #schemas: Schemas;
  readonly #known: Readonly<Record<string, fc.Arbitrary<unknown>>>;

  constructor(schemas: Schemas, known: Readonly<Record<string, fc.Arbitrary<unknown>>>) {
    this.#schemas = schemas;
    this.#known = known;
  }

  of(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
    if (schema.$ref !== undefined) return this.#referred(schema.$ref, depth);
    if (schema.const !== undefined) return fc.constant(schema.const);
    if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
    if (schema.anyOf !== undefined) {
      const choices = depth > MAX_DEPTH ? schema.anyOf.slice(0, 1) : schema.anyOf;
      return fc.oneof(...choices.map((choice) => this.of(choice, depth + 1)));
    }
    const types = typeof schema.type === "string" ? [schema.type] : (schema.type ?? []);
    if (types.length === 0) return fc.jsonValue({ maxDepth: 2 });
    return fc.oneof(...types.map((type) => this.#typed(type, schema, depth)));
  }

  #referred(reference: string, depth: number): fc.Arbitrary<unknown> {
    const schema = this.#schemas[reference.slice(REFERENCE.length)];
    if (schema === undefined) throw new Error(`the document has no ${reference}`);
    return this.of(schema, depth + 1);
  }

  #typed(type: string, schema: Schema, depth: number): fc.Arbitrary<unknown> {
    switch (type) {
      case "string":
        return schema.pattern === undefined
          ? fc.string({ minLength: 1, unit: "grapheme" })
          : fc.stringMatching(new RegExp(schema.pattern));
      case "integer": {
        const { minimum: min = 0, maximum: max = Number.MAX_SAFE_INTEGER } = schema;
        return fc.oneof(
          fc.integer({ min, max: Math.min(max, MAX_INTEGER) }),
          fc.constantFrom(min, max),
        );
      }
      case "number":
        return fc.double({ noNaN: true, noDefaultInfinity: true });
      case "boolean":
        return fc.boolean();
      case "null":
        return fc.constant(null);
      case "array":
        return fc.array(this.of(schema.items ?? {}, depth + 1), {
          minLength: schema.minItems ?? 0,
          maxLength: MAX_ITEMS,
        });
      case "object":
        return this.#object(schema, depth);
      default:
        throw new Error(`no values of type ${type} can be made`);
    }
  }

  #object(schema: Schema, depth: number): fc.Arbitrary<unknown> {
    const { properties, required = [], additionalProperties } = schema;
    if (properties === undefined) {
      const values = this.of(typeof additionalProperties === "object" ? additionalProperties : {});
      return depth > MAX_DEPTH
        ? fc.constant({})
        : fc.dictionary(fc.string(), values, { maxKeys: 3 });
    }
    const model = Object.entries(properties).map(([name, property]) => {
      return [name, this.#known[name] ?? this.of(property, depth + 1)] as const;
    });
    return fc.record(Object.fromEntries(model), { requiredKeys: [...required] });
  }
}
