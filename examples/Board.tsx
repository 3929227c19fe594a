import { useMemo, useState } from "react";

export interface Card {
  id: string;
  title: string;
  column: "todo" | "doing" | "done";
}

interface BoardProps {
  cards: Card[];
  onMove: (id: string, column: Card["column"]) => void;
}

const COLUMNS: Card["column"][] = ["todo", "doing", "done"];

export function Board({ cards, onMove }: BoardProps) {
  const [filter, setFilter] = useState("");
  const shown = useMemo(
    () => cards.filter((card) => card.title.toLowerCase().includes(filter.toLowerCase())),
    [cards, filter],
  );
  return (
    <main className="board">
      <input value={filter} onChange={(event) => setFilter(event.target.value)} placeholder="Filter" />
      {COLUMNS.map((column) => (
        <section key={column}>
          <h2>{column}</h2>
          <ul>
            {shown
              .filter((card) => card.column === column)
              .map((card) => (
                <li key={card.id} onDoubleClick={() => onMove(card.id, "done")}>
                  {card.title}
                </li>
              ))}
          </ul>
        </section>
      ))}
    </main>
  );
}
