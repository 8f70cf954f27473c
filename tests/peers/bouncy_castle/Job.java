import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/** One line of standard input. */
final class Job {
    final String command;
    private final Map<String, List<byte[]>> fields = new HashMap<>();

    Job(String line) {
        String[] words = line.split(" ");
        command = words[0];
        for (int number = 1; number < words.length; number++) {
            String[] pair = words[number].split("=", 2);
            fields.computeIfAbsent(pair[0], name -> new ArrayList<>())
                    .add(Base64.getDecoder().decode(pair[1]));
        }
    }

    boolean has(String name) {
        return fields.containsKey(name);
    }

    List<byte[]> all(String name) {
        return fields.getOrDefault(name, List.of());
    }

    byte[] one(String name) {
        if (all(name).size() != 1) {
            throw new IllegalArgumentException(command + " needs one " + name);
        }
        return all(name).get(0);
    }

    String text(String name) {
        return new String(one(name), StandardCharsets.UTF_8);
    }

    Set<String> words(String name) {
        Set<String> found = new TreeSet<>();
        for (byte[] word : all(name)) {
            found.add(new String(word, StandardCharsets.UTF_8));
        }
        return found;
    }
}
