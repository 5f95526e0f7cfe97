// Kubernetes quantities such as 8Gi or 500M, as numbers.

const factors: Readonly<Record<string, number>> = {
  "": 1,
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

const form = /^([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:([eE][+-]?\d+)|([KMGTPE]i|[numkMGTPE]))?$/;

/** The amount, rounded up to a whole number. Throws an Error that carries the text if it is no quantity. */
export function amountOf(quantity: string | number): number {
  const text = String(quantity);
  const [, digits, exponent, suffix = ""] = form.exec(text) ?? [];
  const factor = factors[suffix];
  if (digits === undefined || factor === undefined) {
    throw new Error(`a quantity such as 8Gi was expected, got ${JSON.stringify(text)}`);
  }
  // Decimal suffixes and fractions are exact only up to a rounding, which must not add a whole.
  return Math.ceil(Number((Number(`${digits}${exponent ?? ""}`) * factor).toPrecision(15)));
}
