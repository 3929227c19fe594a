"""A small double-entry ledger: accounts, postings and balances."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal


@dataclass(frozen=True)
class Posting:
    account: str
    amount: Decimal


@dataclass(frozen=True)
class Transaction:
    day: date
    text: str
    postings: tuple[Posting, ...]

    def is_balanced(self) -> bool:
        return sum(posting.amount for posting in self.postings) == 0


@dataclass
class Ledger:
    transactions: list[Transaction] = field(default_factory=list)

    def add(self, transaction: Transaction) -> None:
        if not transaction.is_balanced():
            raise ValueError(f"transaction {transaction.text!r} does not balance")
        self.transactions.append(transaction)

    def balances(self) -> dict[str, Decimal]:
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for transaction in self.transactions:
            for posting in transaction.postings:
                totals[posting.account] += posting.amount
        return dict(totals)

    def between(self, first: date, last: date) -> list[Transaction]:
        return [transaction for transaction in self.transactions if first <= transaction.day <= last]

    def largest(self) -> Transaction | None:
        return max(self.transactions, key=lambda transaction: transaction.day, default=None)


def transfer(day: date, text: str, source: str, target: str, amount: Decimal) -> Transaction:
    return Transaction(day, text, (Posting(source, -amount), Posting(target, amount)))
