// All of the page can be read without this: it opens cases in place, sorts, filters, and switches light and dark.
const root = document.documentElement;
const theme = document.getElementById("theme");
const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const nameTheme = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
theme.hidden = false;
theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; nameTheme(); });
nameTheme();

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#case-'], a.close");
  const open = document.querySelector("dialog[open]");
  if (!link) return;
  event.preventDefault();
  open?.close();
  if (!link.classList.contains("close")) document.querySelector(link.getAttribute("href")).showModal();
});
document.addEventListener("keydown", (event) => {
  const way = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  if (way) document.querySelector(`dialog[open] a[rel=${way}]`)?.click();
});

const table = document.getElementById("table");
if (table) {
  const rows = [...table.tBodies[0].rows];
  const form = document.getElementById("filter");
  const words = document.getElementById("words");
  const wrong = document.getElementById("wrong");
  const filter = () => {
    const sought = words.value.toLowerCase();
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(sought) || (wrong?.checked && !row.classList.contains("wrong"));
    }
    document.getElementById("count").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  };
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
}

// The headings of these tables sort their rows, by the first number of a cell or by its text.
for (const sortable of document.querySelectorAll("#table, table.sortable")) {
  const rows = [...sortable.tBodies[0].rows];
  [...sortable.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const way = head.ariaSort === "ascending" ? -1 : 1;
      const text = (row) => row.cells[column].textContent;
      for (const cell of sortable.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
      head.ariaSort = way > 0 ? "ascending" : "descending";
      rows.sort((a, b) => way * text(a).localeCompare(text(b), undefined, { numeric: true }));
      sortable.tBodies[0].append(...rows);
    });
  });
}

// A long table shows its first rows; its form finds rows by a word, or shows all.
const FOLDED = 6;
for (const form of document.querySelectorAll("form.narrow")) {
  const body = document.getElementById(form.dataset.table).tBodies[0];
  const [words, all, count] = [form.querySelector("input"), form.querySelector("button"), form.querySelector("output")];
  const fold = () => {
    const sought = words.value.toLowerCase();
    const rows = [...body.rows];
    rows.forEach((row, number) => {
      row.hidden = sought ? !row.cells[0].textContent.toLowerCase().includes(sought) : all.hidden ? false : number >= FOLDED;
    });
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  };
  form.hidden = body.rows.length <= FOLDED;
  if (form.hidden) continue;
  form.addEventListener("input", fold);
  form.addEventListener("submit", (event) => event.preventDefault());
  all.addEventListener("click", () => { all.hidden = true; fold(); });
  new MutationObserver(fold).observe(body, { childList: true });
  addEventListener("beforeprint", () => { all.hidden = true; fold(); });
  fold();
}
