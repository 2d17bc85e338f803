"""axe-core, the rules of accessibility."""

from dataclasses import dataclass
from typing import Any

from playwright.async_api import Page

from tests import npm

# WCAG 2.0 to 2.2, levels A and AA, and what axe calls best practices.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN = """async (tags) => {
  const { violations } = await axe.run(document, {
    runOnly: { type: "tag", values: tags },
    resultTypes: ["violations"], // of what is right it need not say where that is
  });
  return violations.map(({ id, nodes }) => ({
    rule: id,
    where: nodes.map((node) => node.target.join(" ")),
    why: nodes[0].failureSummary,
  }));
}"""


@dataclass(frozen=True)
class Axe:
    """The rules, ready to be put into a page."""

    script: str

    @classmethod
    def installed(cls) -> "Axe":
        """As npm has it."""
        return cls((npm.installed() / "axe-core" / "axe.min.js").read_text())

    async def violations(self, page: Page) -> list[dict[str, Any]]:
        """What the page violates as it stands: the rule, where and why."""
        if await page.evaluate("() => window.axe === undefined"):
            # Not by a script element: the page's content policy forbids scripts that are not its.
            await page.evaluate(self.script)
        found: list[dict[str, Any]] = await page.evaluate(_RUN, _RULES)
        return found
