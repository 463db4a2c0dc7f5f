// Cards are filtered by verdict and words, and walked through with the arrow keys. Without this script all are there.
const form = document.querySelector("form.controls");
const cards = [...document.querySelectorAll(".cards > li")];
const words = new Map(cards.map((card) => [card, card.textContent.toLowerCase()]));
const link = (card) => card.querySelector("h2 a");
const shown = () => cards.filter((card) => !card.hidden);

function filter() {
  const verdict = form.elements.verdict.value;
  const wanted = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const card of cards) {
    card.hidden = (verdict !== "" && card.dataset.verdict !== verdict) || !wanted.every((word) => words.get(card).includes(word));
  }
  const count = shown().length;
  form.querySelector("output").textContent = count === cards.length ? "" : `${count} of ${cards.length} claims shown`;
}

// How many cards stand in the first row: as far as one step down leads.
function across(row) {
  const top = row[0].offsetTop;
  const below = row.findIndex((card) => card.offsetTop > top);
  return below < 0 ? row.length : below;
}

function step(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const row = shown();
  const place = row.findIndex((card) => card.contains(document.activeElement));
  if (place < 0) return;
  const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across(row), ArrowUp: -across(row), Home: -place, End: row.length - 1 - place };
  const next = row[place + moves[event.key]];
  if (!next) return;
  event.preventDefault();
  link(next).focus();
  next.scrollIntoView({ block: "nearest" });
}

form.hidden = false;
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && event.target !== form.elements.words) {
    event.preventDefault();
    form.elements.words.focus();
  } else step(event);
});
filter(); // a browser that came back here has kept what was chosen
document.documentElement.dataset.ready = "yes";
