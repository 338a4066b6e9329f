/**
 * What the value of an argument may be, by its tool's schema: where arguments are not written as JSON, that decides whether a
 * value is read as a text. What writes calls and what reads them ask here, so that both mean the same.
 */
import {
  isObject,
  type JsonType,
  type Schema,
  type SchemaObject,
  TYPES,
} from "../grammar/json-schema/schema-types.js";

/** Most schemas that are looked at for one argument; where it is not enough, it may be anything. */
const MAX_LOOKS = 2000;
const ANYTHING: ReadonlySet<JsonType> = new Set(TYPES);

/**
 * Types that a value may be of; it may be that no value of one of them fits.
 * @param parameters the schema of all arguments
 * @param name null: of an argument that is nowhere declared
 */
export function argumentTypes(parameters: Schema, name: string | null): ReadonlySet<JsonType> {
  return new Looks(parameters).argument(parameters, name, new Set());
}

/** The names of arguments that are declared in any way that the schema can be fitted. */
export function argumentNames(parameters: Schema): readonly string[] {
  const names = new Set<string>();
  new Looks(parameters, (name) => names.add(name)).argument(parameters, null, new Set());
  return [...names];
}

class Looks {
  readonly #root: Schema;
  readonly #onName: (name: string) => void;
  #left = MAX_LOOKS;

  /** @param onName told each name that is declared */
  constructor(root: Schema, onName: (name: string) => void = () => undefined) {
    this.#root = root;
    this.#onName = onName;
  }

  /** Of an argument that all of a schema allows. */
  argument(schema: Schema, name: string | null, following: ReadonlySet<string>): ReadonlySet<JsonType> {
    // What is no schema is refused where it is compiled.
    if (!this.#goOn() || !isObject(schema)) return ANYTHING;
    const inside = (one: Schema, refs = following) => this.argument(one, name, refs);
    const { properties, additionalProperties } = schema;
    const declared = isObject(properties) ? properties : {};
    for (const one of Object.keys(declared)) this.#onName(one);
    const own =
      name !== null && Object.hasOwn(declared, name)
        ? this.value(declared[name] as Schema, new Set())
        : additionalProperties === undefined
          ? ANYTHING
          : this.value(additionalProperties as Schema, new Set());
    return this.#combined(own, schema, following, inside);
  }

  /** Of a value that fits a schema. */
  value(schema: Schema, following: ReadonlySet<string>): ReadonlySet<JsonType> {
    if (!this.#goOn() || schema === true) return ANYTHING;
    if (schema === false) return new Set();
    if (!isObject(schema)) return ANYTHING;
    const { type, enum: listed } = schema;
    let own =
      type === undefined ? ANYTHING : withIntegers((Array.isArray(type) ? type : [type]) as JsonType[]);
    if (Array.isArray(listed)) own = both(own, new Set(listed.flatMap(typesOf)));
    if (schema.const !== undefined) own = both(own, new Set(typesOf(schema.const)));
    return this.#combined(own, schema, following, (one, refs = following) => this.value(one, refs));
  }

  #combined(
    own: ReadonlySet<JsonType>,
    schema: SchemaObject,
    following: ReadonlySet<string>,
    inside: (one: Schema, following?: ReadonlySet<string>) => ReadonlySet<JsonType>,
  ): ReadonlySet<JsonType> {
    let all = own;
    const { $ref, allOf, anyOf, oneOf } = schema;
    if (typeof $ref === "string" && !following.has($ref)) {
      all = both(all, inside(this.#target($ref), new Set([...following, $ref])));
    }
    for (const one of listOf(allOf)) all = both(all, inside(one));
    for (const options of [anyOf, oneOf]) {
      if (options !== undefined) all = both(all, new Set(listOf(options).flatMap((one) => [...inside(one)])));
    }
    return all;
  }

  /** A reference that leads nowhere is refused where the schema is compiled. */
  #target($ref: string): Schema {
    let target: unknown = this.#root;
    let pointer = "";
    try {
      pointer = decodeURIComponent($ref.slice(1));
    } catch {
      return true;
    }
    for (const part of pointer.split("/").slice(1)) {
      const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
      const isOpen = isObject(target) || Array.isArray(target);
      target = isOpen ? Object.getOwnPropertyDescriptor(target, name)?.value : undefined;
    }
    return isObject(target) || target === false ? target : true;
  }

  #goOn(): boolean {
    this.#left -= 1;
    return this.#left > 0;
  }
}

function listOf(schemas: unknown): readonly Schema[] {
  return Array.isArray(schemas) ? schemas : [];
}

function both(a: ReadonlySet<JsonType>, b: ReadonlySet<JsonType>): ReadonlySet<JsonType> {
  return new Set([...a].filter((type) => b.has(type)));
}

/** Integers are numbers, and a number may be written as one. */
function withIntegers(types: readonly JsonType[]): ReadonlySet<JsonType> {
  return types.includes("number") || types.includes("integer")
    ? new Set([...types, "integer", "number"])
    : new Set(types);
}

function typesOf(value: unknown): readonly JsonType[] {
  if (value === null) return ["null"];
  if (Array.isArray(value)) return ["array"];
  if (typeof value === "number") return ["number", "integer"];
  return [typeof value as JsonType];
}
