/**
 * The properties of an object as nodes of a grammar: in the schema's order, those that are required and as many as the bounds
 * ask for, however an object is written.
 */
import type { GrammarBuilder } from "../grammar.js";
import { UNBOUNDED } from "../regex-terms.js";
import type { Conjunction } from "./schema-alternatives.js";
import { isObject, type Schema } from "./schema-types.js";

/** A property of an object, in the order in which it is written. */
export interface Property {
  readonly name: string;
  readonly required: boolean;
  readonly value: Conjunction | null;
}

/** Schemas that all hold, without `true`; null where one is `false`. */
export function conjunction(schemas: readonly Schema[]): Conjunction | null {
  if (schemas.includes(false)) return null;
  return schemas.filter(isObject);
}

/** The least that some members say by a keyword; Infinity where none says it. */
export function least(members: Conjunction, keyword: string): number {
  return Math.min(
    UNBOUNDED,
    ...members.flatMap((member) => (typeof member[keyword] === "number" ? [member[keyword]] : [])),
  );
}

/** Properties in the order in which they are first named; what others may be (null: there are none), what is said of names, and how many there may be. */
export function propertiesOf(members: Conjunction) {
  const declared = members.map(({ properties }) => (properties ?? {}) as Readonly<Record<string, Schema>>);
  const required = new Set(members.flatMap((member) => (member.required ?? []) as readonly string[]));
  const names = new Set([...declared.flatMap((one) => Object.keys(one)), ...required]);
  const others = members.map(({ additionalProperties }) => (additionalProperties ?? true) as Schema);
  const properties = [...names].map((name): Property => {
    const schemas = declared.map((one, m) => (Object.hasOwn(one, name) ? one[name] : others[m]));
    return { name, required: required.has(name), value: conjunction(schemas) };
  });
  const isOpen =
    names.size === 0 || members.some(({ additionalProperties }) => additionalProperties !== undefined);
  const keys = members.flatMap(({ propertyNames }) =>
    propertyNames === undefined ? [] : [propertyNames as Schema],
  );
  return {
    properties,
    extra: isOpen && !keys.includes(false) ? conjunction(others) : null,
    keys: keys.filter(isObject),
    min: Math.max(0, ...members.map(({ minProperties }) => (minProperties as number) ?? 0)),
    max: least(members, "maxProperties"),
  };
}

/** How an object is written, around its properties and between them. */
interface ObjectForm {
  readonly open: string;
  readonly comma: string;
  readonly close: string;
}

interface ObjectParts {
  readonly form: ObjectForm;
  readonly properties: readonly Property[];
  readonly min: number;
  readonly max: number;
  /** A property up to its value; null: its name does not fit what is said of names. */
  readonly named: (name: string) => number | null;
  readonly value: (property: Property) => number;
  /** Properties that are not declared; null: there are none. */
  readonly extra: { readonly named: () => number; readonly value: () => number } | null;
}

/** The nodes of an object: what may come at each property, by how many were written before it. */
export class ObjectNodes {
  readonly #builder: GrammarBuilder;
  readonly #parts: ObjectParts;
  readonly #pairs = new Map<string, number>();

  constructor(builder: GrammarBuilder, parts: ObjectParts) {
    this.#builder = builder;
    this.#parts = parts;
  }

  node(): number {
    const { properties, form } = this.#parts;
    const counts = this.#countsBefore();
    // From the last property to the first, each with what may come behind it.
    let behind = new Map(counts[properties.length].map((count) => [count, this.#end(count)]));
    for (let i = properties.length - 1; i >= 0; i--) {
      const from = counts[i].map((count): [number, number] => [
        count,
        this.#from(properties[i], count, behind),
      ]);
      behind = new Map(from);
    }
    return this.#builder.seq([...this.#literal(form.open), behind.get(0) ?? this.#builder.anyOf([])]);
  }

  /** For each property, and behind the last, how many may have been written before it. */
  #countsBefore(): readonly (readonly number[])[] {
    const { properties, max } = this.#parts;
    let before: readonly number[] = [0];
    const counts = [before];
    for (const { required } of properties) {
      const behind = new Set<number>(required ? [] : before);
      for (const count of before) if (count < max) behind.add(this.#counted(count + 1));
      this.#builder.work.spend(behind.size);
      before = [...behind];
      counts.push(before);
    }
    return counts;
  }

  /** Where only a comma depends on it, one count is like another. */
  #counted(count: number): number {
    const { min, max } = this.#parts;
    return max === UNBOUNDED ? Math.min(count, Math.max(1, min)) : count;
  }

  /** From a property on, with `count` written before it, to the closing brace. */
  #from(property: Property, count: number, behind: ReadonlyMap<number, number>): number {
    const options: number[] = [];
    const pair = count < this.#parts.max ? this.#pair(property, count > 0) : null;
    if (pair !== null) options.push(this.#builder.seq([pair, behind.get(this.#counted(count + 1))!]));
    if (!property.required) options.push(behind.get(count)!);
    return this.#builder.anyOf(options);
  }

  #pair(property: Property, isLater: boolean): number | null {
    const key = `${isLater},${property.name}`;
    const known = this.#pairs.get(key);
    if (known !== undefined) return known;
    const { form, named, value } = this.#parts;
    const begin = named(property.name);
    if (begin === null) return null;
    const pair = this.#builder.seq([...(isLater ? this.#literal(form.comma) : []), begin, value(property)]);
    this.#pairs.set(key, pair);
    return pair;
  }

  /** Properties that are not declared, and what closes. A name may come twice, so they count as one for the least number. */
  #end(count: number): number {
    const { extra, min, max, form } = this.#parts;
    const builder = this.#builder;
    const close = builder.literal(form.close);
    if (extra === null || count >= max) return count >= min ? close : builder.anyOf([]);
    const pair = [extra.named(), extra.value()];
    const more = builder.repeat(builder.seq([...this.#literal(form.comma), ...pair]), 0, max - count - 1);
    const options: number[] = [];
    if (count + 1 >= min) {
      options.push(builder.seq([...(count > 0 ? this.#literal(form.comma) : []), ...pair, more, close]));
    }
    if (count >= min) options.push(close);
    return builder.anyOf(options);
  }

  #literal(text: string): number[] {
    return text === "" ? [] : [this.#builder.literal(text)];
  }
}
