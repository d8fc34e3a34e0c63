import threading

from hypothesis import given, strategies as st

from tf_adapters.modeling.slots import FreeRows, Slots


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9))))
def test_a_row_belongs_to_one_task_at_a_time(steps):
  free, tasks, most = FreeRows(), [], 0
  for is_new, number in steps:
    if is_new:
      slots = Slots()
      tasks.append((slots, slots.take(free)))
      del slots
    elif number < len(tasks):
      del tasks[number]
    rows = [row for _, row in tasks]
    assert len({*rows}) == len(rows)
    # No more rows than there were tasks at the same time.
    most = max(most, len(rows))
    assert all(0 < row <= most for row in rows)


def test_a_task_has_a_row_of_each_stack():
  stacks, slots = [FreeRows(), FreeRows()], Slots()
  assert [slots.take(free) for free in stacks] == [1, 1]
  held = slots
  del slots
  assert [Slots().take(free) for free in stacks] == [2, 2]
  del held
  assert sorted(Slots().take(stacks[0]) for _ in range(2)) == [1, 2]


def test_threads_take_and_give_back():
  free, wrong = FreeRows(), []
  owners = {}

  def work(me):
    for _ in range(2000):
      slots = Slots()
      row = slots.take(free)
      if owners.setdefault(row, me) != me:
        wrong.append(row)
      del owners[row]
      del slots

  threads = [threading.Thread(target=work, args=[me]) for me in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert not wrong
