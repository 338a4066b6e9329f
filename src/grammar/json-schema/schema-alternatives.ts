/**
 * What several schemas that hold at once come to: references followed, `allOf` joined, `anyOf` and `oneOf` spread out, so
 * that what is left is a list of alternatives, each a set of plain rules for every type of value.
 */
import { invalidArgument } from "../../errors.js";
import { quoteValue } from "../../quote-value.js";
import type { Work } from "../work.js";
import type { Bound } from "./number-dfa.js";
import { checkKeywords } from "./schema-keywords.js";
import type { SchemaLimits } from "./schema-limits.js";
import { isObject, type JsonType, type Schema, type SchemaObject, TYPES } from "./schema-types.js";

/** Schema objects that all hold. */
export type Conjunction = readonly SchemaObject[];

/** One way to fit. */
export interface Alternative {
  readonly types: ReadonlySet<JsonType>;
  /** The only values that fit; null: any. */
  readonly values: readonly unknown[] | null;
  /** The schema objects that it came from, whose other keywords all hold. */
  readonly members: Conjunction;
}

/** Characters of a name or a reference that messages show. */
const MAX_SHOWN = 200;
/** Steps of work that a schema takes, and two that are shown to exclude each other. Measured. */
const STEPS_OF_SPREADING = 10;
const STEPS_OF_EXCLUDING = 10;

export class SchemaAlternatives {
  readonly #root: Schema;
  readonly #limits: SchemaLimits;
  readonly #work: Work;
  /** Combinations that are within each other just now, references followed. */
  #depth = 0;
  /** Where each object is in the schema, for messages; also the mark that it was checked. */
  readonly #places = new Map<SchemaObject, string>();

  constructor(root: Schema, limits: SchemaLimits, work: Work) {
    this.#root = root;
    this.#limits = limits;
    this.#work = work;
    this.#visit(root, "#");
  }

  /** Where an object is in the schema. */
  placeOf(schema: SchemaObject): string {
    return this.#places.get(schema) ?? "#";
  }

  /** @throws LastrowError `invalid_argument` when something in them is not supported */
  of(all: Conjunction): readonly Alternative[] {
    const spread = this.#spread(all, new Set());
    return spread.flatMap((members) => {
      const alternative = this.#joined(members);
      return alternative === null ? [] : [alternative];
    });
  }

  /** Checks all of a schema once, so that what nothing leads to is not overlooked. */
  #visit(schema: Schema, where: string): void {
    if (typeof schema === "boolean" || this.#places.has(schema)) return;
    this.#places.set(schema, where);
    checkKeywords(schema, where);
    const { properties, $defs, definitions, allOf, anyOf, oneOf, prefixItems } = schema;
    for (const [keyword, named] of Object.entries({ properties, $defs, definitions })) {
      for (const [name, one] of Object.entries((named ?? {}) as Record<string, Schema>)) {
        this.#visit(one, `${where}/${keyword}/${brief(name)}`);
      }
    }
    for (const [keyword, listed] of Object.entries({ allOf, anyOf, oneOf, prefixItems })) {
      ((listed ?? []) as readonly Schema[]).forEach((one, i) => {
        this.#visit(one, `${where}/${keyword}/${i}`);
      });
    }
    for (const keyword of ["items", "additionalProperties", "propertyNames"]) {
      if (schema[keyword] !== undefined) this.#visit(schema[keyword] as Schema, `${where}/${keyword}`);
    }
  }

  /** Conjunctions without references and combinations; none where nothing fits. */
  #spread(all: Conjunction, following: ReadonlySet<string>): readonly Conjunction[] {
    const { maxCombined } = this.#limits;
    if (this.#depth === maxCombined) {
      throw invalidArgument(
        `${this.placeOf(all[0])} is within more than ${maxCombined} references and combinations; make it simpler.`,
      );
    }
    this.#depth += 1;
    const spread = this.#combined(all, following);
    this.#depth -= 1;
    return spread;
  }

  #combined(all: Conjunction, following: ReadonlySet<string>): readonly Conjunction[] {
    let spread: readonly Conjunction[] = [[]];
    for (const schema of all) {
      this.#work.spend(STEPS_OF_SPREADING + following.size);
      const parts: (readonly Conjunction[])[] = [[[schema]]];
      const { $ref, allOf, anyOf, oneOf, not } = schema;
      if (not !== undefined) return [];
      if ($ref !== undefined) parts.push(this.#referred(String($ref), schema, following));
      for (const one of (allOf ?? []) as readonly Schema[]) parts.push(this.#oneOf([one], following));
      if (anyOf !== undefined) parts.push(this.#oneOf(anyOf as readonly Schema[], following));
      if (oneOf !== undefined) parts.push(this.#exclusive(oneOf as readonly Schema[], schema, following));
      for (const part of parts) {
        const most = (spread[0]?.length ?? 0) + (part[0]?.length ?? 0);
        this.#work.spend(part.length * spread.length * (1 + most));
        spread = spread.flatMap((before) => part.map((more) => [...new Set([...before, ...more])]));
        if (spread.length > this.#limits.maxAlternatives) {
          throw invalidArgument(
            `${this.placeOf(schema)} leaves more than ${this.#limits.maxAlternatives} alternatives; make it simpler.`,
          );
        }
      }
    }
    return spread;
  }

  #oneOf(options: readonly Schema[], following: ReadonlySet<string>): readonly Conjunction[] {
    return options.flatMap((option): readonly Conjunction[] => {
      if (typeof option === "boolean") return option ? [[]] : [];
      return this.#spread([option], following);
    });
  }

  /** Of `oneOf` exactly one fits: they must be shown to exclude each other. */
  #exclusive(
    options: readonly Schema[],
    schema: SchemaObject,
    following: ReadonlySet<string>,
  ): readonly Conjunction[] {
    const spread = options.map((option) => this.#oneOf([option], following));
    for (let i = 0; i < spread.length; i++) {
      for (let j = 0; j < i; j++) {
        const apart = spread[i].every((a) => spread[j].every((b) => this.#exclude(a, b, 3)));
        if (!apart) {
          throw invalidArgument(
            `${this.placeOf(schema)}/oneOf: a value may fit both ${j} and ${i}, which oneOf forbids; give each a property with a const of its own, or use anyOf.`,
          );
        }
      }
    }
    return spread.flat();
  }

  /** Whether it is plain that no value fits both. */
  #exclude(a: Conjunction, b: Conjunction, depth: number): boolean {
    this.#work.spend(STEPS_OF_EXCLUDING);
    const [first, second] = [this.#joined(a), this.#joined(b)];
    if (first === null || second === null) return true;
    const both = [...withIntegers(first.types)].filter((type) => withIntegers(second.types).has(type));
    if (both.length === 0) return true;
    if (first.values !== null && second.values !== null) {
      const texts = new Set(second.values.map((value) => JSON.stringify(value)));
      return !first.values.some((value) => texts.has(JSON.stringify(value)));
    }
    if (depth === 0 || both.some((type) => type !== "object")) return false;
    const [inFirst, inSecond] = [a, b].map(requiredProperties);
    return [...inFirst].some(([name, schemas]) => {
      const others = inSecond.get(name);
      if (others === undefined) return false;
      const [ones, twos] = [schemas, others].map((all) => this.#spread(all, new Set()));
      return ones.every((one) => twos.every((two) => this.#exclude(one, two, depth - 1)));
    });
  }

  #referred($ref: string, from: SchemaObject, following: ReadonlySet<string>): readonly Conjunction[] {
    const where = this.placeOf(from);
    if (following.has($ref))
      throw invalidArgument(`${where}/$ref: ${brief($ref)} refers to itself and to nothing else.`);
    return this.#oneOf([this.#target($ref, where)], new Set([...following, $ref]));
  }

  #target($ref: string, where: string): Schema {
    const wrong = (what: string) => invalidArgument(`${where}/$ref: ${quoteValue($ref)} ${what}`);
    if (!$ref.startsWith("#"))
      throw wrong("is not within the schema; only references that begin with # are followed.");
    let target: unknown = this.#root;
    let pointer = "";
    try {
      pointer = decodeURIComponent($ref.slice(1));
    } catch {
      throw wrong("is no reference: its escapes are broken.");
    }
    if (pointer !== "" && !pointer.startsWith("/"))
      throw wrong("is an anchor, which is not supported; use #/$defs/…");
    for (const part of pointer.split("/").slice(1)) {
      const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
      target =
        isObject(target) || Array.isArray(target)
          ? Object.getOwnPropertyDescriptor(target, name)?.value
          : undefined;
    }
    if (typeof target !== "boolean" && !isObject(target)) throw wrong("leads to no schema.");
    this.#visit(target, brief($ref));
    return target;
  }

  /** Null where no value can fit all. */
  #joined(members: Conjunction): Alternative | null {
    let types = new Set<JsonType>(TYPES);
    let values: readonly unknown[] | null = null;
    for (const member of members) {
      if (member.type !== undefined) types = shared(types, typesOf(member.type));
      for (const listed of [member.enum, member.const === undefined ? undefined : [member.const]]) {
        if (listed === undefined) continue;
        const texts: ReadonlySet<string> = new Set((listed as readonly unknown[]).map(sameValue));
        values = (values ?? (listed as readonly unknown[])).filter((value) => texts.has(sameValue(value)));
      }
    }
    // All numbers are meant by both: an integer is one of them.
    if (types.has("number")) types.delete("integer");
    if (values !== null) {
      values = values.filter((value) => typesOfValue(value).some((type) => types.has(type)));
      types = new Set(
        [...types].filter((type) => values?.some((value) => typesOfValue(value).includes(type))),
      );
    }
    return types.size === 0 ? null : { types, values, members };
  }
}

/** A name or a reference in a message. */
function brief(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

/** A value as text, the same for equal values: the order of properties is no matter. */
function sameValue(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) =>
    isObject(one) ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1))) : one,
  );
}

function typesOf(type: unknown): ReadonlySet<JsonType> {
  return withIntegers(new Set((Array.isArray(type) ? type : [type]) as readonly JsonType[]));
}

/** Integers are numbers. */
function withIntegers(types: ReadonlySet<JsonType>): ReadonlySet<JsonType> {
  return types.has("number") ? new Set([...types, "integer"]) : types;
}

function shared(a: ReadonlySet<JsonType>, b: ReadonlySet<JsonType>): Set<JsonType> {
  return new Set([...a].filter((type) => b.has(type)));
}

function typesOfValue(value: unknown): readonly JsonType[] {
  if (value === null) return ["null"];
  if (Array.isArray(value)) return ["array"];
  if (typeof value === "number") return Number.isInteger(value) ? ["integer", "number"] : ["number"];
  return [typeof value as JsonType];
}

function requiredProperties(members: Conjunction): Map<string, SchemaObject[]> {
  const required = new Set(members.flatMap((member) => (member.required ?? []) as readonly string[]));
  const found = new Map<string, SchemaObject[]>();
  for (const { properties } of members) {
    for (const [name, schema] of Object.entries((properties ?? {}) as Record<string, Schema>)) {
      if (!required.has(name) || typeof schema === "boolean") continue;
      found.set(name, [...(found.get(name) ?? []), schema]);
    }
  }
  return found;
}

/** The tightest bounds of some members. */
export function boundsOf(members: Conjunction): { min: Bound | null; max: Bound | null } {
  let min: Bound | null = null;
  let max: Bound | null = null;
  for (const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } of members) {
    for (const [value, excluded] of [[minimum, false] as const, [exclusiveMinimum, true] as const]) {
      if (typeof value !== "number") continue;
      if (min === null || value > min.value || (value === min.value && excluded)) min = { value, excluded };
    }
    for (const [value, excluded] of [[maximum, false] as const, [exclusiveMaximum, true] as const]) {
      if (typeof value !== "number") continue;
      if (max === null || value < max.value || (value === max.value && excluded)) max = { value, excluded };
    }
  }
  return { min, max };
}
