"""What the page keeps in a browser, where that is forbidden."""

from tests.node import evaluate


def test_a_key_that_the_browser_does_not_keep_is_not_taken_in_silence() -> None:
    found = evaluate(
        """
        const elements = {};
        for (const id of ["key-dialog", "key-form", "key-problem", "key-id", "key-secret"]) {
          elements[id] = { value: " K ", textContent: "", dataset: {}, showModal: () => undefined };
        }
        globalThis.document = { getElementById: (id) => elements[id] };
        let reloads = 0;
        globalThis.location = { reload: () => { reloads += 1; } };
        const submit = () => elements["key-form"].onsubmit({ preventDefault: () => undefined });
        globalThis.sessionStorage = undefined; // as good as one that throws
        credentials.askForKey("no API key; send APCA-API-KEY-ID");
        const said = [elements["key-problem"].textContent];
        submit();
        said.push(elements["key-problem"].textContent);
        const [kept, before] = [{}, reloads];
        globalThis.sessionStorage = {
          getItem: (key) => JSON.stringify(kept[key]),
          setItem: (key, text) => { kept[key] = JSON.parse(text); },
        };
        submit();
        credentials.askForKey("wrong secret");
        said.push(elements["key-problem"].textContent);
        tell({ said, kept, before, reloads });
        """,
        credentials="credentials.js",
    )

    first, second, third = found["said"]
    assert first == "Whoever runs it makes one: tickgate keys add"
    assert third == "wrong secret"
    assert second.startswith("This browser keeps nothing for this page: ")
    assert found["kept"] == {"tickgate.key": {"id": "K", "secret": "K"}}
    assert (found["before"], found["reloads"]) == (0, 1)
