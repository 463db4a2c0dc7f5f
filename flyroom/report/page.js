// The figures come alive, and tables can be sorted. Without this script the page shows the same figures, still.
const themes = JSON.parse(document.getElementById("themes")?.textContent ?? "{}"); // none where no figure is a specification
const dark = matchMedia("(prefers-color-scheme: dark)");
const figures = [...document.querySelectorAll("figure[data-name]")];
const narrow = () => document.documentElement.clientWidth < 720;

const specification = (figure) => JSON.parse(figure.querySelector("script").textContent);

// On a phone the panels of a figure stand below each other, as wide as the page allows; tiny ones in as many columns.
function fitted(spec, room) {
  if (!narrow()) return spec;
  const panel = spec.spec;
  const small = panel && typeof panel.width === "number" && panel.width < 140;
  if ("columns" in spec) spec.columns = small ? Math.max(1, Math.min(spec.columns, Math.floor(room / (panel.width + 20)))) : 1;
  if (panel && typeof panel.width === "number" && !small) panel.width = Math.max(140, Math.min(panel.width, room - 150));
  if (spec.title && typeof spec.title === "object") {
    spec.title = { ...spec.title, limit: room - 30, text: lines(spec.title.text, room / 9), subtitle: lines(spec.title.subtitle, room / 7.5) };
  }
  return spec;
}

function lines(text, width) {
  if (typeof text !== "string") return text;
  return text.split(" ").reduce((rows, word) => {
    const last = rows[rows.length - 1];
    if (last && last.length + word.length < width) rows[rows.length - 1] = `${last} ${word}`;
    else rows.push(word);
    return rows;
  }, []);
}

async function draw(figure) {
  const live = figure.querySelector(".live");
  figure.classList.add("drawn");
  try {
    const spec = { ...fitted(specification(figure), live.clientWidth), config: dark.matches ? themes.dark : themes.light };
    figure.shown?.finalize();
    figure.shown = await vegaEmbed(live, spec, { actions: false, renderer: "svg", tooltip: { theme: dark.matches ? "dark" : "light" } });
  } catch (error) {
    figure.classList.remove("drawn"); // the still picture says the same
    console.error(error);
  }
}

// What is saved is for paper: light, and as wide as it was designed, whatever the screen.
async function save(figure, form) {
  const spec = { ...specification(figure), config: themes.light };
  const made = await vegaEmbed(document.createElement("div"), spec, { actions: false, renderer: "svg" });
  const blob = form === "svg"
    ? new Blob([await made.view.toSVG()], { type: "image/svg+xml" })
    : await made.view.toCanvas(2).then((canvas) => new Promise((done) => canvas.toBlob(done, "image/png")));
  made.finalize();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${figure.dataset.name}.${form}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

for (const figure of figures) {
  for (const form of ["png", "svg"]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Save ${form.toUpperCase()}`;
    button.addEventListener("click", () => save(figure, form));
    figure.querySelector(".save").prepend(button);
  }
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        const order = x !== "" && y !== "" && !isNaN(x) && !isNaN(y) ? x - y : x.localeCompare(y, "en", { numeric: true });
        return down ? -order : order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}

document.querySelectorAll("table.sortable").forEach(sortable);
const drawAll = () => Promise.all(figures.map(draw));
dark.addEventListener("change", drawAll);
matchMedia("(max-width: 719px)").addEventListener("change", drawAll);
await drawAll();
document.documentElement.dataset.ready = "yes";
