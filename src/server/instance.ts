/**
 * The name of one server of several, and the ids of what it alone keeps between requests: sequences that are held, responses.
 * Where it has a name, these ids begin with it, so that what routes requests finds the server by the beginning of a path:
 * `/v1/sequences/seq_a_…`. The rest is random: 122 bits, which cannot be guessed.
 */
import { invalidArgument } from "../errors.js";
import { shown } from "../option-checks.js";

/** A host's name, as of a pod: no underscore, behind which the rest begins. */
const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$/;

/** What is kept. */
type Kept = "seq" | "resp";

/** Makes the ids of one server. */
export type NewKeptId = (kept: Kept) => string;

/**
 * @param instance undefined: the server has no name, and its ids none
 * @throws LastrowError `invalid_argument`
 */
export function keptIds(instance: string | undefined): NewKeptId {
  if (instance === undefined) {
    return (kept) => (kept === "seq" ? `seq-${crypto.randomUUID()}` : `resp_${random()}`);
  }
  if (typeof instance !== "string" || !NAME.test(instance)) {
    throw invalidArgument(
      `instance is the name of one server: up to 63 letters, digits, dots and dashes, a letter or digit first and last, not ${shown(instance)}.`,
    );
  }
  return (kept) => `${kept}_${instance}_${random()}`;
}

function random(): string {
  return crypto.randomUUID().replaceAll("-", "");
}
