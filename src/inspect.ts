/** The method by which objects say what they are in a console of Node's; other runtimes do not look at it. */
export const INSPECT: unique symbol = Symbol.for("nodejs.util.inspect.custom") as never;
