/**
 * What a model is made to say, and after which prompt: from texts in which nothing comes twice to those that only repeat
 * what is there.
 */
export interface BenchText {
  readonly name: string;
  readonly prompt: string;
  readonly answer: string;
}

const PASSAGE = `The old bridge over the river was closed on Monday after an inspector found cracks in two of its \
seven arches. "We saw the first one in spring," said the mayor, "but it was no wider than a hair." The town will ask for \
four million to repair it. Until then buses take the northern road, which is twenty minutes longer. "Nobody walks that far \
for an ice cream," said a shopkeeper on the left bank.`;

const CODE = `export function totalPrice(basket: Basket, customer: Customer): number {
  let total = 0;
  for (const item of basket.items) {
    if (item.quantity <= 0) continue;
    total += item.price * item.quantity;
  }
  if (customer.isMember) total -= total * DISCOUNT;
  return Math.round(total * 100) / 100;
}
`;

export const TEXTS: readonly BenchText[] = [
  {
    name: "prose",
    prompt: "My grandfather kept bees.",
    answer: ` He never wore gloves, and I cannot remember that he was stung once. In June, when lime trees along the canal \
stood in flower, we carried twelve hives down to the water before sunrise, because bees must not notice that anyone moves \
their house. Mist lay upon the meadows; somewhere a dog barked. What I liked most was the sound: put your ear against warm \
wood, and you hear a city at work. Honey came later, dark, almost bitter, sold at the market beside eggs and radishes. When \
he died, my aunt gave every colony away to a young teacher from Lyon, who still sends us a jar each Christmas with a label \
drawn by hand.`,
  },
  {
    name: "summary that quotes",
    prompt: `${PASSAGE}\n\nWhat happened, and what do people say? Quote them.\n\n`,
    answer: `After an inspector found cracks in two of its seven arches, the old bridge over the river was closed on Monday. \
The mayor said: "We saw the first one in spring, but it was no wider than a hair." Until it is repaired, for four million, \
buses take the northern road, which is twenty minutes longer. "Nobody walks that far for an ice cream," said a shopkeeper.`,
  },
  {
    name: "code",
    prompt: "// Reads settings from text, one a line.\n",
    answer: `export function readSettings(text: string): Settings {
  const settings: Settings = { width: 80, height: 24, colour: true };
  for (const line of text.split("\\n")) {
    const [name, value] = line.split("=");
    if (name === "width") settings.width = readNumber(name, value);
    else if (name === "height") settings.height = readNumber(name, value);
    else if (name === "colour") settings.colour = readBoolean(name, value);
    else throw new SettingsError(\`unknown setting \${name}\`);
  }
  return settings;
}
`,
  },
  {
    name: "code, edited",
    prompt: `${CODE}\n// The same with a coupon:\n`,
    answer: CODE.replaceAll("totalPrice", "priceWithCoupon")
      .replace("customer: Customer", "customer: Customer, coupon: number")
      .replace("  return", "  total = Math.max(0, total - coupon);\n  return"),
  },
  {
    name: "list of records",
    prompt: "Towns as JSON:\n",
    answer: `${[
      ...[
        '"Bergen", "country": "Norway", "people": 291940',
        '"Ghent", "country": "Belgium", "people": 265086',
      ],
      ...['"Graz", "country": "Austria", "people": 298479', '"Malmö", "country": "Sweden", "people": 357377'],
      ...[
        '"Porto", "country": "Portugal", "people": 231800',
        '"Turku", "country": "Finland", "people": 201863',
      ],
    ]
      .map((town) => `{ "name": ${town} },\n`)
      .join("")}`,
  },
  { name: "the prompt again", prompt: `${PASSAGE}\n\n`, answer: PASSAGE },
];
