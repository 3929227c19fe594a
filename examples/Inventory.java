import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Counts items by name and tells what has to be ordered. */
public final class Inventory {
    private final Map<String, Integer> counts = new HashMap<>();
    private final int threshold;

    public Inventory(int threshold) {
        if (threshold < 0) {
            throw new IllegalArgumentException("threshold must not be negative: " + threshold);
        }
        this.threshold = threshold;
    }

    public void add(String name, int amount) {
        counts.merge(name, amount, Integer::sum);
    }

    public boolean remove(String name, int amount) {
        int present = counts.getOrDefault(name, 0);
        if (present < amount) {
            return false;
        }
        counts.put(name, present - amount);
        return true;
    }

    public int count(String name) {
        return counts.getOrDefault(name, 0);
    }

    public List<String> toOrder() {
        List<String> names = new ArrayList<>();
        for (Map.Entry<String, Integer> entry : counts.entrySet()) {
            if (entry.getValue() <= threshold) {
                names.add(entry.getKey());
            }
        }
        Collections.sort(names);
        return names;
    }
}
