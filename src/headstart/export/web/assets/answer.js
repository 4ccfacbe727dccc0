// What the outputs of the network mean, with the names that `headstart predict --format jsonl` uses.

/** The answer for one picture: probabilities [k], how strange it is (or undefined), and how often a set must hold. */
export function answer(probabilities, unknownScore, model, coverage) {
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
  const label = model.classes[order[0]];
  const found = {
    label,
    probability: probabilities[order[0]],
    probabilities: Object.fromEntries(model.classes.map((name, at) => [name, probabilities[at]])),
  };
  if (unknownScore !== undefined) {
    found.unknown = unknownScore > model.unknown.threshold;
    found.unknown_score = unknownScore;
  }
  const limit = model.set_scores_quantile[coverage];
  found.set = order.filter((at, rank) => rank === 0 || 1 - probabilities[at] <= limit).map((at) => model.classes[at]);
  const { title, url } = model.infos[label] ?? {};
  if (title) found.title = title;
  if (url) found.url = url;
  return found;
}

/** A probability as whole per cents, which never says that it is certain. */
export function sure(probability) {
  if (probability > 0.995) return ">\u00a099\u00a0%";
  return probability < 0.005 ? "<\u00a01\u00a0%" : `${Math.round(100 * probability)}\u00a0%`;
}

/** The link of a class where it leads to a web page; "" for everything else that a link may hide. */
export function safeLink(url) {
  return /^https?:\/\//i.test(url ?? "") ? url : "";
}
