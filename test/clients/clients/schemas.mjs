/** What clients ask for: an object, a tool, and what is said. */
import { deepStrictEqual, ok } from "node:assert/strict";
import { z } from "zod";

export const PET = z.object({
  name: z.string().max(8),
  kind: z.enum(["cat", "dog"]),
  ages: z.array(z.int().min(0).max(30)).max(2),
  id: z.uuid(),
  born: z.iso.date().nullable(),
});

/** What the tool of every client takes, and what it gives. */
export const PLACE = z.object({ city: z.enum(["Paris", "Oslo"]), day: z.int().min(1).max(31) });
export const WEATHER = { name: "weather", description: "The weather of a city on a day of the month." };
export const weather = ({ city, day }) => `${city}, ${day}: 12 degrees`;

/** Longer than a block of the cache, which then has it at the second time. */
export const QUESTION = "What do you know of the weather in the cities of the north, day by day?";
export const HOSTED = "What is new?";
/** A picture of one dot. */
export const DOT =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/** It knows nothing of JSON or pets: what fits was held to the schema that the client sent. */
export function expectPet(pet) {
  deepStrictEqual(pet, PET.parse(pet));
}

export function expectPlace(place) {
  deepStrictEqual(place, PLACE.parse(place));
}

export function expectText(text) {
  ok(typeof text === "string" && text !== "", `a text: ${JSON.stringify(text)}`);
}

export const TEXTS = ["The cat sat.", "A dog! \u{1f415}", "Once upon a time there was a girl."];

/** Of `TEXTS`: what the library makes of them, to the bit. */
export function expectVectors(vectors, { own }) {
  const values = vectors.map((vector) => [...Float32Array.from(vector)]);
  deepStrictEqual(values, own);
}
