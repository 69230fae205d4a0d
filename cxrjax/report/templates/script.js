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

  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const way = head.ariaSort === "ascending" ? -1 : 1;
      const text = (row) => row.cells[column].textContent;
      for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
      head.ariaSort = way > 0 ? "ascending" : "descending";
      rows.sort((a, b) => way * text(a).localeCompare(text(b), undefined, { numeric: true }));
      table.tBodies[0].append(...rows);
    });
  });
}
